// SPDX-License-Identifier: Apache-2.0

package qemu

import "regexp"

// A Fault is a console line after which waiting for success is pointless.
type Fault struct {
	Meaning string         // what the line says about the guest
	Line    *regexp.Regexp // matched against one line without escape sequences
}

// Meanings that callers compare with. A crash is a fault in the kernel, not a deliberate
// panic.
const (
	KernelCrashed  = "the kernel crashed"
	KernelPanicked = "the kernel panicked"
	// DiskNotBooted is what SeaBIOS says of each disk before it goes on to the next drive.
	DiskNotBooted = "the firmware cannot boot a disk"
)

// kernelCrash matches the line with which Linux on x86 begins to report a fault in
// itself. die() in arch/x86/kernel/dumpstack.c prints the kind, the error code in four
// hexadecimal digits and the number of the fault ("double fault: 0000 [#1]"). Newer
// kernels put "Oops: " before it, Debian 12's does not. arch/arm64/kernel/traps.c has "Internal
// error: Oops: " before the code. An overloaded host can cause a soft lockup.
var kernelCrash = regexp.MustCompile(`(BUG: unable to handle|Oops: |general protection fault|kernel BUG at |BUG: soft lockup - CPU|: [0-9a-f]{4} \[#[0-9]+\])`)

// DefaultFaults returns all known faults.
func DefaultFaults() []Fault {
	rows := []struct{ meaning, line string }{
		{KernelPanicked, `Kernel panic - not syncing`},
		{KernelCrashed, kernelCrash.String()},
		{"the initramfs stopped", `kairos-init: BOOT FAILED`},
		{"GRUB found no configuration", `^grub rescue>`},
		{"GRUB stopped at its prompt", `^grub>`},
		{"the UEFI firmware started its shell: nothing on the disk could be booted", `(UEFI Interactive Shell|^Shell>)`},
		{"the firmware found nothing to boot", `(No bootable (option or )?device|No bootable option)`},
		{DiskNotBooted, `(Boot failed: not a bootable disk|Boot failed: could not read the boot disk)`},
		{"Secure Boot refused the boot loader", `(BdsDxe: failed to load .*(Access Denied|Security Violation)|bad shim signature|Verification failed: \(0x1A\))`},
		{"the guest is in emergency mode", `(You are in (emergency|rescue) mode|Entering emergency mode|Give root password for maintenance|^\(initramfs\) |^dracut:/#)`},
		{"KVM gave up", `KVM internal error`},
	}
	faults := make([]Fault, len(rows))
	for i, r := range rows {
		faults[i] = Fault{r.meaning, regexp.MustCompile(r.line)}
	}
	return faults
}

// match returns the fault of a line, or nil.
func match(faults []Fault, line string) *Fault {
	for i := range faults {
		if faults[i].Line.MatchString(line) {
			return &faults[i]
		}
	}
	return nil
}
