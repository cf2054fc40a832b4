// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// userTable is libmount's table of mount options that the kernel does not know.
const userTable = "/run/mount/utab"

// markMounts tells the new root's systemd that the mounts below the new root are the
// initramfs's. It leaves those alone until systemd-shutdown unmounts everything at
// once, after the last process has ended. Otherwise it starts a umount(8) for each of them
// at every shutdown, and the ones of /var fail, since the journal is still written.
// See x-initrd.mount in systemd.mount(5).
func (b *boot) markMounts() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("/run/mount", 0o755); err != nil {
		return err
	}
	return os.WriteFile(userTable, []byte(markedMounts(string(mounts), sysroot)), 0o644)
}

// markedMounts returns libmount's table for the mounts below root of a mountinfo file
// (proc_pid_mountinfo(5)). libmount compares source, target and root of a line with
// those of the kernel's table; both files escape them in the same way.
func markedMounts(mountinfo, root string) string {
	var table strings.Builder
	for line := range strings.Lines(mountinfo) {
		field := strings.Fields(line)
		dash := slices.Index(field, "-")
		if dash < 6 || len(field) < dash+3 {
			continue
		}
		target, below := strings.CutPrefix(field[4], root+"/")
		if live, is := strings.CutPrefix(field[4], "/run/initramfs/"); is { // of a live system
			target, below = "run/initramfs/"+live, true
		}
		if below {
			fmt.Fprintf(&table, "SRC=%s TARGET=/%s ROOT=%s OPTS=x-initrd.mount\n", field[dash+2], target, field[3])
		}
	}
	return table.String()
}
