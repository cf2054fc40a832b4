// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/flavors"
)

func TestPrintList(t *testing.T) {
	all := []listed{
		{Name: "debian-13", Title: "Debian 13", Family: "apt", Release: "13", Base: "archive", Arches: []string{"amd64"},
			Proven: &flavors.Proof{Version: "v0.1.0", Date: "2026-11-20", Checks: 74, Facts: []string{"boots with BIOS", "boots with UEFI", "boots with UEFI + Secure Boot", "detects one flipped byte"}}},
		{Name: "other", Title: "Other", Family: "apt", Release: "1", Base: "archive", Arches: []string{"amd64", "arm64"}},
	}
	var out strings.Builder
	if err := printList(&out, all, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	want := `FLAVOR     TITLE      FAMILY  RELEASE  BASE     ARCH         PROVEN
debian-13  Debian 13  apt     13       archive  amd64        boots with BIOS, boots with UEFI,
                                                             boots with UEFI + Secure Boot, detects one flipped byte,
                                                             74 checks of v0.1.0 8 days ago
other      Other      apt     1        archive  amd64,arm64  nothing yet
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
