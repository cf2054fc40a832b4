// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestBuses boots from a disk on every bus that QEMU has: /init must find the
// driver of each by itself. framework/install/disk tests that firmware and
// boot loader read such disks. -short tests one bus of each kind.
func TestBuses(t *testing.T) {
	l := newLab(t)
	disk := newDisk(t, "one", l.guest)
	for _, bus := range qemu.Buses() {
		if testing.Short() && !slices.Contains([]qemu.Bus{qemu.NVMe, qemu.SD, qemu.USB3}, bus) {
			continue
		}
		t.Run(string(bus), func(t *testing.T) {
			c := qemu.Config{Disk: disk.path, DiskSize: layout.GiB, Bus: bus} // a card's size is a power of two
			if bus == qemu.IDE {
				c.Chipset = qemu.I440FX
			}
			console := l.boot(t, disk, t.TempDir(), guestEnd, c)
			if state := stateOf(t, console); len(state.Warnings) != 0 {
				t.Errorf("warnings: %q", state.Warnings)
			}
			if !strings.Contains(console, "grew partition persistent") {
				t.Error("the disk was not written to")
			}
		})
	}
}
