// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestArchiveOfAnotherFamily: a flavor of rpm packages has no mirror, one of apt no
// repositories, and each lacks what its own family needs.
func TestArchiveOfAnotherFamily(t *testing.T) {
	var all strings.Builder
	for _, name := range []string{"rpm-broken.yaml", "apt-broken.yaml"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(name, data)
		if err == nil {
			t.Fatalf("%s was accepted", name)
		}
		all.WriteString(err.Error() + "\n")
	}
	golden.Check(t, "testdata/archive.golden", all.String())
}

func TestParts(t *testing.T) {
	f, err := Load("rocky-9")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Base.Archive.Parts(), " "); got != "baseos appstream" {
		t.Errorf("got %s", got)
	}
}

func TestIsRelease(t *testing.T) {
	for _, tt := range []struct {
		flavor, version string
		want            bool
	}{
		{"rocky-9", "9.6", true}, {"rocky-9", "9", true}, {"rocky-9", "90", false}, {"rocky-10", "9.6", false},
		{"opensuse-tumbleweed", "20261129", true}, {"debian-13", "13", true}, {"debian-13", "13.1", false}, {"opensuse-leap-16.0", "16.1", false},
	} {
		f, err := Load(tt.flavor)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.IsRelease(tt.version); got != tt.want {
			t.Errorf("%s: VERSION_ID %s: got %v", tt.flavor, tt.version, got)
		}
	}
}
