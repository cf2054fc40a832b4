// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// status is a dpkg database with every state that matters.
const status = `Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12
Description: GNU C Library
 Version: 9 in a text is no field

Package: held
Status: hold ok installed
Architecture: all
Version: 1:1.0

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: foreign
Status: install ok installed
Architecture: i386
Version: 1.0

Package: newer
Status: install ok installed
Architecture: amd64
Version: 2.0-1~mine1
`

func TestMissingPackages(t *testing.T) {
	installed := installedPackages([]byte(status), "amd64")
	want := map[string]string{"libc6": "2.41-12", "held": "1:1.0", "newer": "2.0-1~mine1"}
	if diff := cmp.Diff(want, installed); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	var got []string
	for _, p := range missing([]*archive.Package{
		{Name: "libc6", Version: "2.41-12+deb13u1"}, {Name: "held", Version: "1:1.0"}, {Name: "removed", Version: "1.0"},
		{Name: "foreign", Version: "1.0"}, {Name: "newer", Version: "1.9-1"}, {Name: "absent", Version: "1.0"},
	}, installed) {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"libc6", "removed", "foreign", "absent"}, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestBaseFitsTheFlavor(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &build{Options: Options{Base: "base.tar"}, choice: choice}
	debian := []byte("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n")
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"etc", map[string][]byte{"etc/os-release": debian, "var/lib/dpkg/status": []byte(status)}, ""},
		{"usr", map[string][]byte{"usr/lib/os-release": debian, "var/lib/dpkg/status": []byte(status)}, ""},
		{"another release", map[string][]byte{"etc/os-release": []byte("ID=debian\nVERSION_ID='12'\n")},
			"base.tar is debian 12, flavor debian-13 needs debian 13: choose the flavor that fits, or another base"},
		{"a rolling distribution", map[string][]byte{"etc/os-release": []byte("ID=arch\n")},
			"base.tar is arch, flavor debian-13 needs debian 13: choose the flavor that fits, or another base"},
		{"no os-release", nil, "base.tar: it has no /etc/os-release, so its distribution is unknown: is it a distribution's image?"},
		{"no dpkg", map[string][]byte{"etc/os-release": debian}, "base.tar: it has no package database (/var/lib/dpkg/status)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := b.fits(tt.files); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
