// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
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
	installed, err := installedPackages([]byte(status), "amd64")
	if err != nil {
		t.Fatal(err)
	}
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

// TestInstalled: everything that dpkg-query -l shows, with the source packages.
func TestInstalled(t *testing.T) {
	database := status + `
Package: purged
Status: purge ok not-installed

Package: libssl3t64
Status: install ok installed
Source: openssl
Architecture: amd64
Version: 3.5.1-1

Package: grub-efi-amd64-signed
Status: install ok installed
Source: grub-efi-amd64-signed (1+2.12+9)
Architecture: amd64
Version: 1+2.12+9+deb13u1
`
	got, err := (&Packages{}).Installed([]byte(database))
	want := []packages.Installed{
		{Name: "libc6", Version: "2.41-12", Arch: "amd64", Source: "libc6", SourceVersion: "2.41-12"},
		{Name: "held", Version: "1:1.0", Arch: "all", Source: "held", SourceVersion: "1:1.0", State: "hold ok installed"},
		{Name: "removed", Version: "1.0", Arch: "amd64", Source: "removed", SourceVersion: "1.0", State: "deinstall ok config-files"},
		{Name: "foreign", Version: "1.0", Arch: "i386", Source: "foreign", SourceVersion: "1.0"},
		{Name: "newer", Version: "2.0-1~mine1", Arch: "amd64", Source: "newer", SourceVersion: "2.0-1~mine1"},
		{Name: "libssl3t64", Version: "3.5.1-1", Arch: "amd64", Source: "openssl", SourceVersion: "3.5.1-1"},
		{Name: "grub-efi-amd64-signed", Version: "1+2.12+9+deb13u1", Arch: "amd64", Source: "grub-efi-amd64-signed", SourceVersion: "1+2.12+9"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}
