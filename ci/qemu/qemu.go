// SPDX-License-Identifier: Apache-2.0

// Package qemu starts x86-64 virtual machines for tests and for people. It owns
// everything between a disk file and a running guest: finding QEMU and its
// firmware, deciding whether KVM can be trusted, copy-on-write disks, the serial
// console, SSH over a forwarded loopback port, and the end of the QEMU process.
//
// It refuses to write to a disk that it is given, to leave a QEMU behind, and to
// answer a guest that died with a time-out: a kernel panic, a rescue prompt or a
// firmware shell on the console becomes an error that quotes it.
//
// A test reads like this:
//
//	vm, err := qemu.Start(ctx, qemu.Config{Disk: "disk.raw", Host: host, Accel: accel})
//	defer vm.Close()
//	_, err = vm.WaitFor(ctx, regexp.MustCompile(`kairos: ready`))
//	client, err := vm.SSH(ctx, qemu.Login{User: "root", Key: key})
//	out, err := client.Run(ctx, "uname", "-r")
package qemu

import (
	"log/slog"
	"time"
)

// A Boot is the way a machine's firmware starts the disk.
type Boot string

// The firmwares. SecureBoot is UEFI with Microsoft's certificates enrolled and
// enforcement on, as a machine comes from a shop.
const (
	BIOS       Boot = "bios"
	UEFI       Boot = "uefi"
	SecureBoot Boot = "secureboot"
)

// Boots lists every firmware in the order in which people read them.
func Boots() []Boot { return []Boot{BIOS, UEFI, SecureBoot} }

// A Chipset is the board that a machine is made of, by QEMU's name for it.
type Chipset string

// The chipsets. I440FX is of 1996 and has no watchdog; it is for what a machine
// without one does, and only BIOS starts it here.
const (
	Q35    Chipset = "q35"
	I440FX Chipset = "pc"
)

// Config describes one machine. Only Host and Accel are always needed.
type Config struct {
	Host  Host         // where QEMU and its firmware are: Find
	Accel Accelerator  // how guest code runs: TCG, or what Probe found
	Boot  Boot         // default BIOS
	Log   *slog.Logger // default: nothing is logged
	// Chipset decides whether there is a watchdog; default Q35, which has one.
	Chipset Chipset
	Bus     Bus // how the disks are attached; default VirtioBlk

	// Disk is the raw image that is booted. It is never written to: the guest
	// writes to an overlay in Dir, which lasts as long as Dir does.
	Disk string
	// DiskSize, in bytes, is how large the guest sees the disk; 0 means as large
	// as the file. A larger disk ends in zeros.
	DiskSize int64
	// Patches replace bytes of the disk in the guest's view.
	Patches []Patch
	// ExtraDisks are further raw images, copy-on-write like Disk.
	ExtraDisks []string
	// WriteLog is a file that gets a log of all writes and flushes of Disk, in
	// the format of dm-log-writes (ci/crash/writelog), in sectors of 512 bytes.
	// A start of QEMU begins it anew. Default: no log.
	WriteLog string
	CDROM    string // an ISO image, read-only

	// Kernel, Initrd and Append boot a kernel directly, without a boot loader.
	Kernel, Initrd, Append string

	MemoryMiB int // default 1536
	SMP       int // virtual CPUs; default Accel.SMP
	// Forwards are TCP ports of the guest, each reachable on a free port of
	// 127.0.0.1; see VM.Port. Default 22.
	Forwards []int
	NoReboot bool // a reboot of the guest ends QEMU

	// Dir keeps the machine's state: overlays, firmware variables, console log.
	// Default: a temporary directory that Close removes.
	Dir string
	// ConsoleLog is the file that gets every byte of the serial console, appended.
	// Default: console.log in Dir.
	ConsoleLog string
	// Faults are the console lines that mean the guest has failed. Default:
	// DefaultFaults. An empty, non-nil slice turns the detection off.
	Faults []Fault
	// StartTimeout limits how long QEMU may take to answer; default 30 s.
	StartTimeout time.Duration
}

// DefaultMemoryMiB is the guest's memory when Config does not say.
const DefaultMemoryMiB = 1536

func (c Config) withDefaults() Config {
	if c.Boot == "" {
		c.Boot = BIOS
	}
	if c.Chipset == "" {
		c.Chipset = Q35
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
