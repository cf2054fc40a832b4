// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/acceptance/faults"
	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
)

func TestFacts(t *testing.T) {
	r := &report.Report{Checks: []lab.Result{
		{Machine: "image", Status: lab.Pass}, {Machine: "bios", Status: lab.Pass}, {Machine: "bios", Name: "persistent", Status: lab.Pass},
		{Machine: "uefi", Status: lab.Pass}, {Machine: "uefi", Status: lab.Skip}, {Machine: "uefi", Status: lab.Pass},
		{Machine: "damaged", Status: lab.Pass}, {Machine: "upgrade", Status: lab.Pass}, {Machine: "config", Status: lab.Fail},
		{Machine: "fault-panic", Status: lab.Pass}, {Machine: "fault-rot", Status: lab.Pass}, {Machine: "fault-hang", Status: lab.Fail},
	}}
	want := []string{"boots with BIOS", "keeps its state over a reboot", "detects one flipped byte", "survives upgrades that fail", fmt.Sprintf("comes back from 2 of %d faults", len(faults.All()))}
	if diff := cmp.Diff(want, Facts(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestFirmwares: a firmware is proven if the upgrade story ran under it.
func TestFirmwares(t *testing.T) {
	for _, tt := range []struct {
		first          string // of --boot
		machines, want []string
	}{
		{"bios", []string{"upgrade"}, []string{"bios"}},
		{"", []string{"upgrade"}, []string{"bios"}}, // an old test.json
		{"uefi", []string{"upgrade"}, []string{"uefi"}},
		{"uefi", []string{"upgrade", "upgrade@bios"}, []string{"bios", "uefi"}},
		{"bios", []string{"upgrade", "uefi", "secureboot"}, []string{"bios"}},
		{"bios", []string{"upgrade", "upgrade@uefi", "upgrade@secureboot"}, []string{"bios", "uefi", "secureboot"}},
		{"bios", []string{"upgrade", "config@uefi"}, []string{"bios"}},
		{"bios", []string{"bios", "config"}, nil},
	} {
		r := &report.Report{Firmware: tt.first}
		for _, m := range tt.machines {
			r.Checks = append(r.Checks, lab.Result{Machine: m, Status: lab.Pass})
		}
		if diff := cmp.Diff(tt.want, firmwares(r)); diff != "" {
			t.Errorf("%v -want +got:\n%s", tt.machines, diff)
		}
	}
}

// TestFactsOfChecks: a check that did not pass is no fact.
func TestFactsOfChecks(t *testing.T) {
	r := &report.Report{Checks: []lab.Result{{Machine: "bios", Name: "stays", Status: lab.Fail}, {Machine: "bios", Name: "persistent", Status: lab.Skip}}}
	if facts := Facts(r); len(facts) != 0 {
		t.Errorf("got %q", facts)
	}
}
