// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"testing"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// TestISOMenu chooses each entry of the menu of the medium under UEFI. The first one is the
// default: TestISO. A machine with a node on its disk is the acceptance suite's.
func TestISOMenu(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t)
	for _, test := range []struct {
		entry qemu.MenuEntry
		end   string
		also  []string
	}{
		{qemu.MenuEntry{Title: "Kairos: install, with questions", Place: 1}, `no disk to install to`, nil},
		{qemu.MenuEntry{Title: "Kairos: install with the config", Place: 2}, `NOT INSTALLED: no disk to install to: the kernel sees no disk`, []string{`installing, as the config says`}},
		{qemu.MenuEntry{Title: "Kairos: live system in memory", Place: 3}, liveReady, []string{`the medium /dev/sr0 can be removed`, `mounts-/run/initramfs/live +tmpfs`}},
		{qemu.MenuEntry{Title: "Kairos: recovery tools", Place: 4}, `Press Enter for (system )?maintenance`, []string{`rescue mode`}},
		{qemu.MenuEntry{Title: "Start the first disk", Place: 5}, `there is no other disk that can be started; the firmware goes on`, nil},
	} {
		t.Run(test.entry.Title, func(t *testing.T) {
			console := l.boot(t, test.end, qemu.Config{Boot: qemu.UEFI, CDROMs: []string{l.iso}}, test.entry)
			expectAll(t, console, test.also...)
		})
	}
}
