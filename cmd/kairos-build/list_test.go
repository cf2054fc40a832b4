// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/flavors"
)

func TestPrintList(t *testing.T) {
	all := []listed{
		{Name: "debian-13", Title: "Debian 13", Family: "apt", Release: "13", Base: "archive", Arch: "amd64",
			State: flavors.StateBooted, Built: "sha256:0123456789abcdef", Proven: &flavors.Proof{Image: "sha256:0123456789abcdef", Version: "v0.1.0", Date: "2026-11-20", Checks: 74, Facts: []string{"boots with BIOS", "boots with UEFI", "boots with UEFI + Secure Boot", "detects one flipped byte"}}},
		{Name: "newer", Title: "Newer", Family: "apt", Release: "2", Base: "archive", Arch: "amd64",
			State: flavors.StateStandIn, Built: "sha256:fedcba9876543210", Proven: &flavors.Proof{Image: "sha256:0123456789abcdef", Version: "v0.1.0", Date: "2026-11-27", Checks: 3, Facts: []string{"boots with BIOS"}}},
		{Name: "other", Title: "Other", Family: "apt", Release: "1", Base: "archive", Arch: "arm64", State: flavors.StateDeclared},
	}
	var out strings.Builder
	if err := printList(&out, all, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	want := `FLAVOR     TITLE      FAMILY  RELEASE  BASE     ARCH   STATE     PROVEN
debian-13  Debian 13  apt     13       archive  amd64  booted    boots with BIOS, boots with UEFI,
                                                                 boots with UEFI + Secure Boot, detects one flipped byte,
                                                                 74 checks of v0.1.0 (0123456789ab) 8 days ago
newer      Newer      apt     2        archive  amd64  stand-in  boots with BIOS,
                                                                 3 checks of v0.1.0 (0123456789ab) yesterday: the image in out/newer is another one (fedcba987654)
other      Other      apt     1        archive  arm64  declared  nothing yet
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestWarnUnproven: a build of a flavor that was never booted says so.
func TestWarnUnproven(t *testing.T) {
	for ref, want := range map[string]string{
		"debian-13":    "",
		"ubuntu-22.04": "no image from the archive of this flavor was booted: test it before you use it (kairos-build test)\" flavor=ubuntu-22.04 architecture=amd64 state=declared",
		"./mine":       "",
		"debain-13":    "", // the build says that it is unknown
	} {
		var out strings.Builder
		if err := warnUnproven(ref, "amd64", slog.New(slog.NewTextHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}
