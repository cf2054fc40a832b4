// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/iso"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// ontoConfig installs, and reports which disk the node runs from.
const ontoConfig = `#cloud-config
install: {auto: true}
stages:
  boot:
    - name: report
      commands:
        - lsblk --noheadings --list --output PKNAME,PARTLABEL | grep root-a | sed 's/^/root-/' >/dev/ttyS0
`

// onto is an installation onto a disk of some kind.
type onto struct {
	bus    qemu.Bus
	device string // as Linux names it
	why    string // the machine chose it
	extra  bool   // there is a second disk, larger and with data
	sector int    // bytes; 0: 512
}

// TestInstallOnto installs to a disk of each kind, and starts it under UEFI. Under BIOS the
// acceptance suite does it, on virtio.
func TestInstallOnto(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t)
	if err := iso.AddConfig(t.Context(), l.iso, "", []byte(ontoConfig)); err != nil {
		t.Fatal(err)
	}
	for _, o := range []onto{
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only disk of the machine"},
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only suitable one of 2 disks", extra: true},
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only disk of the machine", sector: gpt.LargeSector},
		{bus: qemu.VirtioSCSI, device: "sda", why: "the only disk of the machine", sector: gpt.LargeSector},
		{bus: qemu.AHCI, device: "sda", why: "the only disk of the machine"},
		{bus: qemu.USB3, device: "sda", why: "the only disk of the machine"},
		{bus: qemu.VirtioSCSI, device: "sda", why: "the only disk of the machine"},
		{bus: qemu.LSI, device: "sda", why: "the only disk of the machine"},
		{bus: qemu.SD, device: "mmcblk0", why: "the only disk of the machine"},
	} {
		name := string(o.bus)
		if o.extra {
			name += " of several"
		}
		if o.sector > 0 {
			name += " with large sectors"
		}
		t.Run(name, func(t *testing.T) { l.installOnto(t, o) })
	}
}

// installOnto starts the live system without its boot loader, which saves time.
func (l isoLab) installOnto(t *testing.T, o onto) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.raw")
	if err := os.WriteFile(empty, make([]byte, layout.Alignment), 0o600); err != nil {
		t.Fatal(err)
	}
	c := qemu.Config{Bus: o.bus, SectorSize: o.sector, Disk: empty, DiskSize: 8 * layout.GiB, Dir: filepath.Join(dir, "machine")}
	if o.extra {
		c.ExtraDisks = []string{l.withData(t, dir)}
	}
	first := c
	if o.sector > 0 {
		first.Boot = qemu.UEFI
	}
	first.CDROMs = []string{l.iso}
	var args string
	first.Kernel, first.Initrd, args = l.unpack(t)
	first.Append = args + " " + layout.ArgLive + "=" + layout.LiveMedium
	console := l.boot(t, `kairos: (installed \S+ on|NOT INSTALLED:)[^\n]*`, first)
	expectAll(t, console, `kairos: installed \S+ on /dev/`+o.device+` in`, `disk +/dev/`+o.device+` .*`+o.why)
	c.Boot = qemu.UEFI
	expectAll(t, l.boot(t, `kairos: ready slot=a mode=active`, c), `root-`+o.device+` +root-a`)
}

// withData makes a larger disk with a partition table.
func (l isoLab) withData(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "data.raw")
	data := make([]byte, layout.Alignment)
	copy(data[510:], []byte{0x55, 0xaa})
	data[446+4] = 0x83 // an MBR with a partition of Linux
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16*layout.GiB); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInstallRefusesLargeSectors: a BIOS cannot start from a disk with sectors of 4096 bytes.
func TestInstallRefusesLargeSectors(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t)
	if err := iso.AddConfig(t.Context(), l.iso, "", []byte(ontoConfig)); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.raw")
	if err := os.WriteFile(empty, make([]byte, layout.Alignment), 0o600); err != nil {
		t.Fatal(err)
	}
	kernel, initrd, args := l.unpack(t)
	l.boot(t, `NOT INSTALLED: no disk to install to:`, qemu.Config{
		Bus: qemu.NVMe, SectorSize: 4096, Disk: empty, DiskSize: 8 * layout.GiB, CDROMs: []string{l.iso},
		Kernel: kernel, Initrd: initrd, Append: args + " " + layout.ArgLive + "=" + layout.LiveMedium,
	})
}
