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
	bios   bool   // the firmware that starts it: OVMF did not find such a disk
}

// TestInstallOnto installs to a disk of each kind, and starts it, under UEFI if that can. Under
// BIOS the acceptance suite does it, on virtio.
func TestInstallOnto(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t)
	l.setConfig(t, ontoConfig)
	for _, o := range []onto{
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only "},
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only suitable one of ", extra: true},
		{bus: qemu.NVMe, device: "nvme0n1", why: "the only ", sector: gpt.LargeSector},
		{bus: qemu.VirtioSCSI, device: "sda", why: "the only ", sector: gpt.LargeSector},
		{bus: qemu.AHCI, device: "sda", why: "the only "},
		{bus: qemu.USB3, device: "sda", why: "the only "},
		{bus: qemu.VirtioSCSI, device: "sda", why: "the only "},
		{bus: qemu.LSI, device: "sda", why: "the only ", bios: true},
		{bus: qemu.SD, device: "mmcblk0", why: "the only ", bios: true},
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

func (l isoLab) installOnto(t *testing.T, o onto) {
	dir := t.TempDir()
	c := qemu.Config{Bus: o.bus, SectorSize: o.sector, Disk: l.emptyDisk(t), DiskSize: 8 * layout.GiB, Dir: filepath.Join(dir, "machine")}
	if o.extra {
		c.ExtraDisks = []string{l.withData(t, dir)}
	}
	first := l.direct(t, c)
	if o.sector > 0 {
		first.Boot = qemu.UEFI
	}
	console := l.boot(t, `kairos: (installed \S+ on \S+ in|NOT INSTALLED:)[^\n]*`, first)
	expectAll(t, console, `kairos: installed \S+ on /dev/`+o.device+` in`, `disk +/dev/`+o.device+` .*`+o.why)
	if c.Boot = qemu.UEFI; o.bios {
		c.Boot = qemu.BIOS
	}
	expectAll(t, l.boot(t, `kairos: ready slot=a mode=active`, c), `root-`+o.device+` +root-a`)
}

// keptConfig counts the boots of a node in its persistent partition. At the first it destroys
// every slot.
const keptConfig = `#cloud-config
hostname: kept-node
install: {auto: true}
stages:
  boot:
    - name: count
      commands:
        - echo >>/usr/local/boots
    - name: destroy
      if: '[ $(wc -l </usr/local/boots) = 1 ]'
      commands:
        - for slot in a b recovery; do dd if=/dev/zero of=/dev/disk/by-partlabel/boot-$slot bs=1M count=4 conv=fsync; done
    - name: report
      commands:
        - sync
        - echo "boot $(wc -l </usr/local/boots) of $(hostname)" >/dev/ttyS0
`

// TestInstallKeeps installs a node that destroys its slots, installs again with --no-format,
// and finds the node with its name and its data.
func TestInstallKeeps(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	l := newISOLab(t)
	c := qemu.Config{Disk: l.emptyDisk(t), DiskSize: 8 * layout.GiB, Dir: filepath.Join(t.TempDir(), "machine")}
	node := c
	node.Boot = qemu.UEFI
	l.setConfig(t, keptConfig)
	l.boot(t, `kairos: installed \S+ on`, l.direct(t, c))
	expectAll(t, l.boot(t, `boot \d+ of \S+`, node), `boot 1 of kept-node`)
	l.setConfig(t, "#cloud-config\nhostname: another\ninstall: {auto: true, no-format: true}\n")
	expectAll(t, l.boot(t, `kairos: (installed \S+ on|NOT INSTALLED:)[^\n]*`, l.direct(t, c)), `kept +the partitions, and the data`)
	expectAll(t, l.boot(t, `boot \d+ of \S+`, node), `boot 2 of kept-node`)
}

func (l isoLab) setConfig(t *testing.T, text string) {
	t.Helper()
	if err := iso.AddConfig(t.Context(), l.iso, "", []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// emptyDisk makes a file for an overlay that is larger.
func (l isoLab) emptyDisk(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.raw")
	if err := os.WriteFile(path, make([]byte, layout.Alignment), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// direct starts the live system of the medium in c without its boot loader, which saves time.
func (l isoLab) direct(t *testing.T, c qemu.Config) qemu.Config {
	t.Helper()
	var args string
	c.CDROMs = []string{l.iso}
	c.Kernel, c.Initrd, args = l.unpack(t)
	c.Append = args + " " + layout.ArgLive + "=" + layout.LiveMedium
	return c
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
	l.setConfig(t, ontoConfig)
	c := qemu.Config{Bus: qemu.NVMe, SectorSize: gpt.LargeSector, Disk: l.emptyDisk(t), DiskSize: 8 * layout.GiB}
	l.boot(t, `NOT INSTALLED: no disk to install to:`, l.direct(t, c))
}
