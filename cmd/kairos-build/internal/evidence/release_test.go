// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// exampleRelease has a program of each kind.
func exampleRelease() Release {
	shared := Module{Path: "example.org/b", Version: "v1.0.0", Sum: "h1:" + strings.Repeat("A", 43) + "="}
	program := func(name, arch, place string, published bool, modules ...Module) ReleaseProgram {
		return ReleaseProgram{Program{Name: name, Place: place, SHA256: digits, Go: "go1.26.8", Modules: modules}, arch, published}
	}
	return Release{
		Version: "v1.4.0", Created: time.Unix(1_700_000_000, 0), Commit: strings.Repeat("c", 40), Go: "go1.26.8", Flags: []string{"-trimpath"},
		Programs: []ReleaseProgram{
			program("init", "amd64", "inside kairos-build-linux-amd64", false, shared),
			program("kairos-build-linux-amd64", "amd64", "", true, shared, Module{Path: "example.org/a", Version: "v2.0.0"}),
			program("kairos-build-linux-arm64", "arm64", "", true, shared),
		},
	}
}

func TestReleaseDocuments(t *testing.T) {
	all, err := MakeRelease(exampleRelease())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		golden.Check(t, "testdata/release/"+d.Name, string(d.Data))
	}
}

// TestReleaseInOtherWords: the libraries of the formats read what we write, and both bills
// have the same components.
func TestReleaseInOtherWords(t *testing.T) {
	all, err := MakeRelease(exampleRelease())
	if err != nil {
		t.Fatal(err)
	}
	var spdx v2_3.Document
	var bom cdx.BOM
	var statement intoto.Statement
	decode(t, all[0].Data, &spdx)
	decode(t, all[1].Data, &bom)
	if err := protojson.Unmarshal(all[2].Data, &statement); err != nil {
		t.Fatal(err)
	}
	if err := statement.Validate(); err != nil {
		t.Error(err)
	}
	var one, other []string
	for _, p := range spdx.Packages[1:] {
		one = append(one, p.PackageExternalReferences[0].Locator)
	}
	for _, c := range *bom.Components {
		other = append(other, c.PackageURL)
	}
	if diff := cmp.Diff(one, other); diff != "" || len(one) != 6 || !slices.IsSorted(one) {
		t.Errorf("%d components; -spdx +cyclonedx:\n%s", len(one), diff)
	}
}
