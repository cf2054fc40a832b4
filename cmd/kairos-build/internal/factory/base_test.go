// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"testing"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

func TestBaseFitsTheFlavor(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &build{Options: Options{Base: "base.tar"}, packages: &fakePackages{}, choice: choice}
	debian := []byte("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n")
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"etc", map[string][]byte{"etc/os-release": debian, "var/lib/dpkg/status": []byte("Package: a\n")}, ""},
		{"usr", map[string][]byte{"usr/lib/os-release": debian, "var/lib/dpkg/status": []byte("Package: a\n")}, ""},
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
