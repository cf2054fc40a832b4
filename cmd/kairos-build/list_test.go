// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrintList(t *testing.T) {
	all := []listed{
		{Name: "debian-13", Title: "Debian 13", Family: "apt", Release: "13", Base: "archive", Arches: []string{"amd64"},
			Proven: []string{"boots with BIOS", "boots with UEFI", "boots with UEFI + Secure Boot", "detects one flipped byte"}},
		{Name: "other", Title: "Other", Family: "apt", Release: "1", Base: "archive", Arches: []string{"amd64", "arm64"}},
	}
	var out strings.Builder
	if err := printList(&out, all); err != nil {
		t.Fatal(err)
	}
	want := `FLAVOR     TITLE      FAMILY  RELEASE  BASE     ARCH         PROVEN
debian-13  Debian 13  apt     13       archive  amd64        boots with BIOS, boots with UEFI,
                                                             boots with UEFI + Secure Boot, detects one flipped byte
other      Other      apt     1        archive  amd64,arm64  nothing yet
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
