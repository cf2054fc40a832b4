// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// An Accelerator is how guest code is run.
type Accelerator struct {
	Name string // kvm or tcg
	Arg  string // for -accel
	CPU  string // for -cpu
	SMP  int    // virtual CPUs that are safe and worth having
}

// mttcgMajor is the first QEMU release whose multi-threaded TCG is trusted. With
// QEMU 7.2 and two virtual CPUs about one Linux boot in four died of a fault in
// __kmalloc.
const mttcgMajor = 10

// tbMiB is the room for translated code. QEMU's own choice, up to a GiB, holds all
// that a guest ever ran, and after a reset the new kernel overwrites the old one's
// pages: each piece of code there is invalidated by itself, which costs more than
// to translate it. With QEMU 7.2 a boot of debian-13 takes 61 s of CPU time after a
// cold start and 140 s after a reset; with 128 MiB, which are emptied as a whole
// when they are full, 64 s and 69 s, with 32 MiB 83 s and 80 s.
const tbMiB = 128

// plainCPU is the oldest x86-64 that QEMU has. Programs choose their code by what
// the processor can do, and vector instructions are the slowest to emulate: with
// "max", Go's SHA-256 reads 17 MB/s and its CRC32C 104; with this one, 41 and 660
// (QEMU 7.2). A distribution that is compiled for x86-64-v2 or later does not run on
// it.
const plainCPU = "qemu64"

// TCG is emulation in software: slow, works everywhere. Do not choose "max" with
// features taken away: with "max,-svm" on QEMU 7.2, systemd 257 fails to mount and to
// start nearly everything ("Mount process finished, but there is no mount").
func TCG(v Version) Accelerator {
	a := Accelerator{Name: "tcg", Arg: "tcg,thread=single", CPU: plainCPU, SMP: 1}
	if v.Major >= mttcgMajor {
		a.Arg, a.SMP = "tcg,thread=multi", atMostTwo()
	}
	a.Arg += fmt.Sprintf(",tb-size=%d", tbMiB)
	return a
}

// KVM is the processor itself. Probe says whether it works.
func KVM() Accelerator {
	return Accelerator{Name: "kvm", Arg: "kvm", CPU: "host", SMP: atMostTwo()}
}

// CrashRetries is how often a boot is worth trying again after an emulated kernel
// crashed. Emulation kills about one Linux boot in ten (double faults before
// /init, with one virtual CPU too); a disk that is broken fails every time.
const CrashRetries = 2

// Crashed tells whether err is a kernel that crashed in emulation, which says
// nothing about the guest.
func (a Accelerator) Crashed(err error) bool {
	guest, ok := errors.AsType[*GuestError](err)
	return ok && guest.Fault == KernelCrashed && a.Name == "tcg"
}

// CrashLine gives the first line of a console that tells of a kernel that crashed
// in emulation.
func (a Accelerator) CrashLine(c *Console) (string, bool) {
	if a.Name != "tcg" {
		return "", false
	}
	m, found := c.Find(kernelCrash)
	return strings.TrimSpace(m.Text), found
}

// atMostTwo leaves half of the host to others.
func atMostTwo() int { return min(2, max(1, runtime.NumCPU()/2)) }
