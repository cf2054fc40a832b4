// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package fat32_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// TestOnVolumesOfOthers reads and changes volumes of mkfs.fat and mtools, with long
// names, scattered files and other geometries. Then fsck.fat checks them.
func TestOnVolumesOfOthers(t *testing.T) {
	for name, options := range map[string][]string{
		"default":        nil,
		"large clusters": {"-s", "8"},
		"one FAT":        {"-f", "1"},
		"two reserved":   {"-R", "12"},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 300 * mib
			path := filepath.Join(t.TempDir(), "fat.img")
			run(t, "mkfs.vfat", append(append([]string{"-C", "-F", "32", "-n", "ESP"}, options...), path, "307200")...)
			source := filepath.Join(t.TempDir(), "source")
			big := bytes.Repeat([]byte("0123456789"), 30_000)
			if err := os.WriteFile(source, big, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "mmd", "-i", path, "::EFI", "::EFI/Boot", "::EFI/A long name")
			for _, to := range []string{"::EFI/Boot/bootx64.efi", "::EFI/Boot/GRUBX64.EFI", "::EFI/A long name/an even longer name.txt", "::kernel"} {
				run(t, "mcopy", "-i", path, source, to)
			}
			run(t, "mdel", "-i", path, "::kernel")

			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			put := func(name, data string) {
				t.Helper()
				if err := fat32.Replace(f, size, fat32.File{Path: name, Data: []byte(data)}, later); err != nil {
					t.Fatal(err)
				}
			}
			longer := strings.Repeat("longer than before", 40_000)
			put("EFI/BOOT/BOOTX64.EFI", longer)
			put("EFI/KAIROS/shimx64.efi", "shim")
			if err := fat32.Remove(f, size, "EFI/BOOT/GRUBX64.EFI"); err != nil {
				t.Fatal(err)
			}
			put("EFI/BOOT/grubx64.efi", "grub")

			v, err := fat32.Open(f, size)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := v.ReadFile("efi/boot/bootx64.efi"); err != nil || string(got) != longer {
				t.Errorf("error %v, %d bytes", err, len(got))
			}
			run(t, "fsck.vfat", "-n", path)
			for at, want := range map[string]string{
				"::EFI/Boot/bootx64.efi": longer, "::EFI/KAIROS/shimx64.efi": "shim", "::EFI/Boot/grubx64.efi": "grub",
				"::EFI/A long name/an even longer name.txt": string(big),
			} {
				if got := run(t, "mtype", "-i", path, at); got != want {
					t.Errorf("%s: %.200s", at, cmp.Diff(want, got))
				}
			}
		})
	}
}
