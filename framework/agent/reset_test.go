// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// putState makes the node look as booted from slot.
func putState(t *testing.T, dir string, slot layout.Slot, mode layout.Mode) {
	t.Helper()
	s := &thisboot.Boot{
		Slot: slot, Mode: mode, RootHash: strings.Repeat("ab", 32), HashOffset: 1 << 20,
		Mounts: []thisboot.Mount{{Path: layout.MountOEM, Kind: thisboot.MountData}},
	}
	for _, p := range layout.Table(layout.Sizes{ImageSize: 2 << 20}) {
		s.Partitions = append(s.Partitions, thisboot.Partition{Number: p.Number, Name: p.Name, Device: "/dev/null", Size: p.Size})
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, layout.StateFile, string(data))
}

func TestResetIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		slot layout.Slot
		mode layout.Mode
		args []string
		want []string
	}{
		{"no state", "", "", nil, []string{"not started by the kairos initramfs"}},
		{"not in recovery", layout.SlotA, layout.ModeActive, []string{"--yes"}, []string{"the node is not in recovery (slot a, mode active): type `kairos-agent bootentry --select recovery`"}},
		{"not agreed to", layout.SlotRecovery, layout.ModeRecovery, []string{"--reset-oem"}, []string{
			"slots a and b become copies of recovery", "persistent is lost at the next boot", "every file in /oem is lost", "type the command again with --yes",
		}},
		{"arguments", layout.SlotRecovery, layout.ModeRecovery, []string{"now"}, []string{"takes no arguments"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newNode(t)
			if c.slot != "" {
				putState(t, dir, c.slot, c.mode)
			}
			got := call(t, dir, "", append([]string{"reset"}, c.args...)...)
			if got.code == 0 || got.stdout != "" {
				t.Errorf("got %+v", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("got %q, want %q in it", got.stderr, want)
				}
			}
		})
	}
}

// TestUnattendedReset: what goes wrong is said on the consoles.
func TestUnattendedReset(t *testing.T) {
	dir := newNode(t)
	putState(t, dir, layout.SlotA, layout.ModeActive)
	got := call(t, dir, "", "reset", "--unattended", "--reboot")
	if got.code != 1 || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{"kairos: resetting this node: ", "kairos: NOT RESET: the node is not in recovery (slot a, mode active): type ", "kairos: the node stays as it is, and can be reached\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("got %q, want %q in it", got.stdout, want)
		}
	}
}
