// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	testresultv0 "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

var digits = strings.Repeat("ab", 32)

// example has one component of each kind.
func example() Facts {
	base := Named("base image", "sha256:"+digits)
	return Facts{
		Flavor: "debian-13", FlavorFile: "sha256:" + digits, Hermetic: true, Title: "Debian 13 (trixie)", Distribution: "debian", Release: "13", Version: "v1.4.0", Arch: "amd64", Model: "generic",
		Image: "sha256:" + strings.Repeat("1", 64), RootHash: strings.Repeat("2", 64), Created: time.Unix(1_700_000_000, 0),
		Builder: Builder{Version: "v0.9.0", Go: "go1.26.8", Engine: "v0.34.2"}, PackageType: "deb",
		Installed: []packages.Installed{
			{Name: "linux-image-6.12", Version: "6.12.1-1", Arch: "amd64", Source: "linux-signed-amd64", SourceVersion: "6.12.1+1"},
			{Name: "libstdc++6", Version: "14.2.0-19", Arch: "amd64", Source: "gcc-14", SourceVersion: "14.2.0-19"},
			{Name: "shadow", Version: "1:4.17~rc1+b1", Arch: "all", Source: "shadow", SourceVersion: "1:4.17~rc1", State: "hold ok installed"},
		},
		Archive: packages.Facts{
			Indexes:   []packages.Index{{Archive: "main", Suite: "trixie", URL: "http://archive.example/InRelease", Date: time.Unix(1_700_000_000, 0), SHA256: digits, Key: "K", Fingerprint: "F"}},
			Snapshots: map[string]time.Time{"main": time.Unix(1_700_003_600, 0)},
			Lists: []packages.List{
				{Input: "kernel", Packages: []packages.Package{{Name: "linux-image-6.12", Version: "6.12.1-1", Arch: "amd64", Archive: "main", Path: "pool/linux.deb", SHA256: digits}}},
				{Input: "tools", Packages: []packages.Package{{Name: "kmod", Version: "1", Arch: "amd64", Archive: "main", Path: "pool/kmod.deb", SHA256: digits}}},
				{Input: "packages", Packages: []packages.Package{{Name: "kmod", Version: "1", Arch: "amd64", Archive: "main", Path: "pool/kmod.deb", SHA256: digits}}},
			},
		},
		Kernel: []string{"linux-image-6.12"},
		Programs: []Program{
			{Name: "kairos-assemble", SHA256: digits},
			{Name: "init", Place: "/init in /boot/initrd", SHA256: digits, Go: "go1.26.8", Modules: []Module{{Path: "example.org/b", Version: "v1.0.0"}}},
			{Name: "kairos-agent", Place: "/usr/bin/kairos-agent", SHA256: digits, Go: "go1.26.8", Modules: []Module{{Path: "example.org/B/c", Version: "v2.0.0+incompatible"}, {Path: "example.org/b", Version: "v1.0.0"}}},
		},
		Kubernetes: &Kubernetes{Name: "k3s", Version: "v1.34.1+k3s1", Program: File{"k3s", "https://mirror.example/k3s", digits}, Images: &File{"k3s-airgap.tar.zst", "", digits}},
		Extended:   []Resource{Named("flavor base", "sha256:"+digits)},
		Added: Added{
			Packages: []string{"htop"}, Removed: []string{"nano"}, Run: []string{"true"},
			Files: []AddedFile{{Path: "/etc/a b", SHA256: digits}, {Path: "/usr/bin/link", Link: "tool"}},
		},
		Base: &base, Lock: "sha256:" + digits, Inputs: []Resource{Named("input base", "sha256:"+digits)}, Graph: "sha256:" + digits, Steps: []string{"packages: install"},
	}
}

func makeExample(t *testing.T, f Facts) map[string]Document {
	t.Helper()
	all, err := Make(f)
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]Document{}
	for _, d := range all {
		documents[d.Name] = d
	}
	return documents
}

func TestDocuments(t *testing.T) {
	for name, d := range makeExample(t, example()) {
		golden.Check(t, "testdata/"+name, string(d.Data))
	}
}

// TestSameFactsGiveTheSameBytes also when lists come in another order.
func TestSameFactsGiveTheSameBytes(t *testing.T) {
	f := example()
	slices.Reverse(f.Installed)
	slices.Reverse(f.Archive.Lists[0].Packages)
	f.Created = f.Created.In(time.FixedZone("", 3600))
	first, again := makeExample(t, example()), makeExample(t, f)
	for name := range first {
		if diff := cmp.Diff(string(first[name].Data), string(again[name].Data)); diff != "" {
			t.Errorf("%s: -first +again\n%s", name, diff)
		}
	}
}

// TestIdentifiersFollowTheContent: two documents that differ have two identifiers.
func TestIdentifiersFollowTheContent(t *testing.T) {
	f := example()
	f.Installed = f.Installed[1:]
	read := func(f Facts) (string, string) {
		var spdx v2_3.Document
		var bom cdx.BOM
		d := makeExample(t, f)
		decode(t, d[SPDXName].Data, &spdx)
		decode(t, d[CycloneDXName].Data, &bom)
		return spdx.DocumentNamespace, bom.SerialNumber
	}
	namespace, serial := read(example())
	otherNamespace, otherSerial := read(f)
	if namespace == otherNamespace || serial == otherSerial || !strings.HasPrefix(serial, "urn:uuid:") {
		t.Errorf("%s %s, %s %s", namespace, otherNamespace, serial, otherSerial)
	}
}

// TestEveryPackageIsInBothBills, and each reference leads to a component.
func TestEveryPackageIsInBothBills(t *testing.T) {
	f := example()
	d := makeExample(t, f)
	var spdx v2_3.Document
	var bom cdx.BOM
	decode(t, d[SPDXName].Data, &spdx)
	decode(t, d[CycloneDXName].Data, &bom)
	inSPDX, ids, inCyclone := map[string]bool{}, map[string]bool{"DOCUMENT": true}, map[string]bool{}
	for _, p := range spdx.Packages {
		inSPDX[p.PackageExternalReferences[0].Locator] = true
		ids[string(p.PackageSPDXIdentifier)] = true
	}
	for _, c := range append(*bom.Components, *bom.Metadata.Component) {
		inCyclone[c.BOMRef] = true
	}
	for _, in := range f.Installed {
		if id := f.packagePURL(in.Name, in.Version, in.Arch).String(); !inSPDX[id] || !inCyclone[id] {
			t.Errorf("%s: in SPDX %v, in CycloneDX %v", id, inSPDX[id], inCyclone[id])
		}
	}
	for _, r := range spdx.Relationships {
		if !ids[string(r.RefA.ElementRefID)] || !ids[string(r.RefB.ElementRefID)] {
			t.Errorf("%v leads nowhere", r)
		}
	}
	for _, dep := range *bom.Dependencies {
		for _, ref := range append(*dep.Dependencies, dep.Ref) {
			if !inCyclone[ref] {
				t.Errorf("%s leads nowhere", ref)
			}
		}
	}
}

// TestStatementsAreThoseOfInToto reads ours with in-toto's own structures, strictly.
func TestStatementsAreThoseOfInToto(t *testing.T) {
	result, err := exampleResult().Document()
	if err != nil {
		t.Fatal(err)
	}
	spdx := makeExample(t, example())[SPDXName]
	wrapped, err := spdx.Statement("sha256:"+digits, "debian-13")
	if err != nil {
		t.Fatal(err)
	}
	spdx.Data = wrapped
	for _, tt := range []struct {
		document  Document
		predicate proto.Message
	}{
		{makeExample(t, example())[ProvenanceName], new(provenancev1.Provenance)},
		{result, new(testresultv0.TestResult)},
		{spdx, nil},
	} {
		var s intoto.Statement
		if err := protojson.Unmarshal(tt.document.Data, &s); err != nil {
			t.Errorf("%s: %v", tt.document.Name, err)
			continue
		}
		if err := s.Validate(); err != nil || s.GetPredicateType() != tt.document.Predicate {
			t.Errorf("%s: %v, type %s", tt.document.Name, err, s.GetPredicateType())
		}
		if tt.predicate == nil {
			continue
		}
		data, err := protojson.Marshal(s.GetPredicate())
		if err != nil {
			t.Fatal(err)
		}
		if err := protojson.Unmarshal(data, tt.predicate); err != nil {
			t.Errorf("%s: %v", tt.document.Name, err)
		}
		if v, ok := tt.predicate.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				t.Errorf("%s: %v", tt.document.Name, err)
			}
		}
	}
}

// TestRemoteEngine: nobody knows which version a remote engine is.
func TestRemoteEngine(t *testing.T) {
	f := example()
	f.Builder.Remote = true
	if data := makeExample(t, f)[ProvenanceName].Data; bytes.Contains(data, []byte("buildkit\"")) {
		t.Error("the provenance names the version of an engine that did not build")
	}
}

func TestPURL(t *testing.T) {
	for _, tt := range []struct {
		purl purl
		want string
	}{
		{purl{kind: "deb", namespace: "debian", name: "libstdc++6", version: "1:2.0~rc1+b1", qualifiers: [][2]string{{"arch", "amd64"}, {"distro", "debian-13"}}},
			"pkg:deb/debian/libstdc%2B%2B6@1:2.0~rc1%2Bb1?arch=amd64&distro=debian-13"},
		{modulePURL("github.com/a/b/v2", "v2.0.0+incompatible"), "pkg:golang/github.com/a/b/v2@v2.0.0%2Bincompatible"},
		{modulePURL("stdlib", "1.26.8"), "pkg:golang/stdlib@1.26.8"},
		{purl{kind: "generic", name: "a b@c", subpath: "d"}, "pkg:generic/a%20b%40c#d"},
	} {
		if got := tt.purl.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestThis: the test's own program says what it is made of; other files do not.
func TestThis(t *testing.T) {
	b := This("v1.0.0")
	if b.Version != "v1.0.0" || !strings.HasPrefix(b.Go, "go") {
		t.Errorf("got %+v", b)
	}
	p := ReadProgram("x", "/x", []byte("#!/bin/sh"))
	if p.Go != "" || p.Modules != nil || p.SHA256 != sum([]byte("#!/bin/sh")) {
		t.Errorf("got %+v", p)
	}
}

func decode(t *testing.T, data []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}
