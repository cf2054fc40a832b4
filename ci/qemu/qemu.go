// SPDX-License-Identifier: Apache-2.0

// Package qemu starts virtual machines, of amd64 and arm64, for tests and for users. It owns everything
// between a disk file and a running guest: finding QEMU and its firmware, deciding
// whether KVM can be trusted, copy-on-write disks, the serial console, SSH over a
// forwarded loopback port, and the end of the QEMU process.
//
// It never writes to a disk that it is given, and leaves no QEMU behind. It does not wait
// for a time-out when a guest has died: a kernel panic, a rescue prompt or a firmware
// shell on the console becomes an error that quotes it.
//
// A test reads like this:
//
//	vm, err := qemu.Start(ctx, qemu.Config{Disk: "disk.raw", Host: host, Accel: accel})
//	defer vm.Close()
//	_, err = vm.WaitFor(ctx, regexp.MustCompile(`kairos: ready`))
//	client, err := vm.SSH(ctx, qemu.Login{User: "root", Signer: key.Signer()})
//	out, err := client.Run(ctx, "uname", "-r")
package qemu

import (
	"log/slog"
	"time"
)

// A Boot is the firmware that starts a machine's disk.
type Boot string

// The firmwares. SecureBoot is UEFI with Microsoft's certificates enrolled and
// enforcement on, like a new machine.
const (
	BIOS       Boot = "bios"
	UEFI       Boot = "uefi"
	SecureBoot Boot = "secureboot"
)

// Boots lists every firmware in the order of reports. Not every architecture has all: see
// Host.Boots.
func Boots() []Boot { return []Boot{BIOS, UEFI, SecureBoot} }

// A Chipset is a machine's chipset, by QEMU's name.
type Chipset string

// The chipsets. I440FX, of 1996, has no watchdog. It is for tests of a machine without
// one, and works only with BIOS here. Virt is QEMU's machine for arm64, with a watchdog on
// the PCI bus, and VirtPlain the same without it.
const (
	Q35       Chipset = "q35"
	I440FX    Chipset = "pc"
	Virt      Chipset = "virt"
	VirtPlain Chipset = "virt-plain"
)

// Config describes one machine. Only Host and Accel are always needed.
type Config struct {
	Host  Host         // from Find
	Accel Accelerator  // how guest code runs: TCG, or the result of Probe
	Boot  Boot         // default: the first of Host.Boots
	Log   *slog.Logger // default: nothing is logged
	// Chipset decides whether there is a watchdog; the default of each architecture has one.
	Chipset Chipset
	Bus     Bus // how the disks are attached; default VirtioBlk

	// Disk is the raw image to boot. It is never written to: the guest writes to an
	// overlay in Dir, which lasts as long as Dir does.
	Disk string
	// DiskSize is the size, in bytes, that the guest sees; 0 means the size of the file.
	// A larger disk ends in zeros.
	DiskSize int64
	// Patches replace bytes of the disk in the guest's view.
	Patches []Patch
	// SectorSize of the disks in bytes, logical and physical; default 512.
	SectorSize int
	// ExtraDisks are further raw images, copy-on-write like Disk.
	ExtraDisks []string
	// WriteLog is a file that gets a log of all writes and flushes of Disk, in the
	// format of dm-log-writes (ci/crash/writelog), in sectors of 512 bytes. Each start
	// of QEMU begins it anew. Default: no log.
	WriteLog string
	CDROMs   []string // ISO images, read-only; booted after the disks, in this order
	CDFirst  bool     // the CD-ROMs are booted before the disks

	// TPM is a folder with the state of a TPM 2.0, which swtpm imitates: another folder is
	// another TPM. It is made if it is missing. Default: the machine has no TPM.
	TPM string

	// Kernel, Initrd and Append boot a kernel directly, without a boot loader.
	Kernel, Initrd, Append string

	MemoryMiB int // default 1536
	SMP       int // virtual CPUs; default Accel.SMP
	// Forwards are TCP ports of the guest. Each is reachable on a free port of
	// 127.0.0.1; see VM.Port. Default 22.
	Forwards []int
	Network  Network
	NoReboot bool // a reboot of the guest ends QEMU

	// Dir keeps the machine's state: overlays, firmware variables, console log.
	// Default: a temporary directory that Close removes.
	Dir string
	// ConsoleLog is the file to which every byte of the serial console is appended.
	// Default: console.log in Dir.
	ConsoleLog string
	// Faults are the console lines that mean that the guest has failed. Default:
	// DefaultFaults. An empty, non-nil slice turns the detection off.
	Faults []Fault
	// StartTimeout limits how long QEMU may take to answer; default 30 s.
	StartTimeout time.Duration
}

// DefaultMemoryMiB is the default of Config.MemoryMiB.
const DefaultMemoryMiB = 1536

func (c Config) withDefaults() Config {
	if c.Boot == "" {
		c.Boot = c.Host.Boots()[0]
	}
	if c.Chipset == "" {
		c.Chipset = c.Host.board().chipset
	}
	if c.Bus == "" {
		c.Bus = VirtioBlk
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = DefaultMemoryMiB
	}
	if c.SMP == 0 {
		c.SMP = max(c.Accel.SMP, 1)
	}
	if c.Forwards == nil {
		c.Forwards = []int{22}
	}
	if c.Faults == nil {
		c.Faults = DefaultFaults()
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
