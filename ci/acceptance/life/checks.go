// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"slices"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// A Check is one row of the list. First runs at a machine's first boot, Second after a
// reboot; either may be nil. Both return a remark for the report.
type Check struct {
	Name  string // stable, for programs
	Title string // for people: what holds if it passes
	Once  bool   // it runs under the usual firmware alone
	First func(context.Context, *lab.Guest) (string, error)
	// Second makes the machine reboot.
	Second func(context.Context, *lab.Guest) (string, error)
}

// Checks lists all checks inside a node. The machine with the usual firmware of its
// architecture runs all of them; for amd64 that is BIOS, where emulation is fastest. The
// others run only those that their firmware can affect, and no reboot.
func Checks() []Check {
	return []Check{
		{Name: "firmware", Title: "started by the firmware it was meant for", First: checkFirmware},
		{Name: "root-erofs", Title: "/ is EROFS, or SquashFS where the kernel has none, and read-only", First: checkRoot},
		{Name: "root-verity", Title: "/ is verified by dm-verity with the disk's root hash", First: checkVerity},
		{Name: "write-root", Title: "a write to / fails", Once: true, First: checkWrite("/kairos-acceptance")},
		{Name: "write-usr", Title: "a write to /usr fails", Once: true, First: checkWrite("/usr/bin/kairos-acceptance")},
		{Name: "status", Title: "kairos-agent status agrees", First: checkStatus},
		{Name: "units", Title: "no failed systemd unit", First: lab.Units},
		{Name: "warnings", Title: "the initramfs warned of nothing", First: checkWarnings},
		{Name: "udev", Title: "udev warned of nothing", Once: true, First: checkUdev},
		{Name: "config", Title: "the cloud-config was applied: users, groups, keys, files", Once: true, First: checkConfig},
		{Name: "grown", Title: "the persistent partition fills the larger disk", Once: true, First: checkGrown},
		{Name: "ephemeral", Title: "files in /etc, /media, /mnt, /srv and /var are gone after a reboot", Once: true, First: writeEphemeral, Second: checkEphemeral},
		{Name: "persistent", Title: "files in /oem, /usr/local and persistent paths are kept", Once: true, First: writePersistent, Second: checkPersistent},
		{Name: "machine-id", Title: "the machine-id is the same after a reboot", Once: true, First: noteMachineID, Second: checkMachineID},
		{Name: "host-keys", Title: "the SSH host keys are the same after a reboot", Once: true, First: noteHostKey, Second: checkHostKey},
		{Name: "units-again", Title: "no failed systemd unit after a reboot", Once: true, Second: lab.Units},
	}
}

// checksFor returns the rows that run on a machine with firmware b, where usual is the usual
// one.
func checksFor(b, usual qemu.Boot) []Check {
	return slices.DeleteFunc(Checks(), func(c Check) bool { return c.Once && b != usual })
}
