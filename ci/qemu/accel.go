// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// An Accelerator is a way to run guest code.
type Accelerator struct {
	Name string // kvm or tcg
	Arg  string // for -accel
	CPU  string // for -cpu
	SMP  int    // virtual CPUs that are safe and worth having
}

// mttcgMajor is the first QEMU release whose multi-threaded TCG is trusted. With QEMU 7.2
// and two virtual CPUs, about one Linux boot in four died of a fault in __kmalloc.
const mttcgMajor = 10

// tbMiB is the size of the cache for translated code. QEMU's default, up to a GiB, holds
// all code that a guest ever ran. After a reset the new kernel overwrites the old one's
// pages, and QEMU invalidates each piece of code there singly, which costs more than to
// translate it. With QEMU 7.2 a boot of debian-13 takes 61 s of CPU time after a cold
// start and 140 s after a reset. A cache of 128 MiB, which is emptied as a whole when it
// is full, needs 64 s and 69 s, one of 32 MiB 83 s and 80 s.
const tbMiB = 128

// plainCPU is the oldest x86-64 that QEMU has. Programs choose their code by the features
// of the processor, and vector instructions are the slowest to emulate. With "max", Go's
// SHA-256 reads 17 MB/s and its CRC32C 104 MB/s; with plainCPU, 41 and 660 (QEMU 7.2). A
// distribution compiled for x86-64-v2 or later does not run on it.
const plainCPU = "qemu64"

// plainARM is a processor of ARMv8.0, on which every distribution runs. QEMU's "max" signs
// every return address (FEAT_PAuth), which takes more than half of the time in emulation.
const plainARM = "cortex-a72"

// TCG is emulation in software: slow, but it works everywhere. Do not choose "max" with
// features removed: with "max,-svm" on QEMU 7.2, systemd 257 fails to mount and to start
// nearly everything ("Mount process finished, but there is no mount").
func TCG(h Host) Accelerator {
	a := Accelerator{Name: "tcg", Arg: "tcg,thread=single", CPU: h.board().cpu, SMP: 1}
	if h.Version.Major >= mttcgMajor {
		a.Arg, a.SMP = "tcg,thread=multi", atMostTwo()
	}
	a.Arg += fmt.Sprintf(",tb-size=%d", tbMiB)
	return a
}

// KVM runs guest code on the processor itself. Probe says whether it works.
func KVM() Accelerator {
	return Accelerator{Name: "kvm", Arg: "kvm", CPU: "host", SMP: atMostTwo()}
}

// CrashRetries is how often a boot is tried again after an emulated kernel crashed.
// Emulation kills about one Linux boot in ten (double faults before /init, with one
// virtual CPU too). A broken disk fails every time.
const CrashRetries = 2

// Crashed tells whether err is a kernel crash in emulation. Such a crash says nothing
// about the guest.
func (a Accelerator) Crashed(err error) bool {
	guest, ok := errors.AsType[*GuestError](err)
	return ok && guest.Fault == KernelCrashed && a.Name == "tcg"
}

// CrashLine returns the first console line that reports a kernel crash in emulation.
func (a Accelerator) CrashLine(c *Console) (string, bool) {
	if a.Name != "tcg" {
		return "", false
	}
	m, found := c.Find(kernelCrash)
	return strings.TrimSpace(m.Text), found
}

// atMostTwo is a number of virtual CPUs that leaves half of the host free.
func atMostTwo() int { return min(2, max(1, runtime.NumCPU()/2)) }
