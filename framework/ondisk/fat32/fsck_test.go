// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package fat32_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// TestFsck checks images with dosfstools and mtools, the programs of the users.
func TestFsck(t *testing.T) {
	for _, size := range []int64{34 * mib, 128 * mib, 192 * mib, 1024 * mib} {
		t.Run(fmt.Sprintf("%dMiB", size/mib), func(t *testing.T) {
			path := write(t, size, tree(), options)
			out := run(t, "fsck.vfat", "-n", "-v", path)
			for _, bad := range []string{"uninitialized", "wrong", "differ", "dirty", "FAT16"} {
				if strings.Contains(out, bad) {
					t.Errorf("fsck.vfat says %q:\n%s", bad, out)
				}
			}
			if !strings.Contains(out, "FATs, 32 bit entries") {
				t.Errorf("not FAT32:\n%s", out)
			}
			if list := run(t, "mdir", "-/", "-b", "-i", path, "::"); !strings.Contains(list, "::/EFI/debian/grub.cfg") {
				t.Errorf("mdir lists:\n%s", list)
			}
			if got := run(t, "mtype", "-i", path, "::/EFI/DEBIAN/GRUB.CFG"); got != "set timeout=1\n" {
				t.Errorf("mtype prints %q", got)
			}
			if got := run(t, "blkid", "-p", "-o", "export", path); !strings.Contains(got, "UUID=1234-ABCD") || !strings.Contains(got, "LABEL=COS_GRUB") {
				t.Errorf("blkid prints\n%s", got)
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestFsck16(t *testing.T) {
	for _, size := range []int64{fat32.MinFAT16, 17 * mib, fat32.MaxFAT16} {
		path := write16(t, size)
		if out := run(t, "fsck.vfat", "-n", "-v", path); !strings.Contains(out, "FATs, 16 bit entries") || strings.Contains(out, "differ") {
			t.Errorf("fsck.vfat says:\n%s", out)
		}
		if got := run(t, "mtype", "-i", path, "::/EFI/DEBIAN/GRUB.CFG"); got != "set timeout=1\n" {
			t.Errorf("mtype prints %q", got)
		}
	}
}
