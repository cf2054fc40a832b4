// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// withCD returns the files of a release, with those for media.
func withCD() map[string][]byte {
	files := release("1")
	files[CDCore], files[CDHybrid] = []byte("cd"), []byte("hybrid")
	return files
}

// TestMedium: a medium has the programs of a disk and the menu of a live system.
func TestMedium(t *testing.T) {
	m, err := NewMedium(withCD())
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, file := range m.EFI {
		paths = append(paths, file.Path)
	}
	if diff := cmp.Diff([]string{"EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/BOOT/mmx64.efi", "EFI/debian/grub.cfg"}, paths); diff != "" {
		t.Errorf("files of the EFI image (-want +got):\n%s", diff)
	}
	if string(m.Config.Data) != string(bootconf.Live()) || m.Config.Path != "EFI/debian/grub.cfg" {
		t.Errorf("GRUB reads %s", m.Config.Path)
	}
	if m.Core == nil || m.Hybrid == nil {
		t.Error("nothing starts under BIOS")
	}
}

func TestMediumRefuses(t *testing.T) {
	for _, missing := range []string{CDCore, CDHybrid} {
		files := withCD()
		delete(files, missing)
		if _, err := NewMedium(files); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "an older kairos-build made the image; build it again") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// TestMediumOfUEFI: an image without BIOS gives a medium without it.
func TestMediumOfUEFI(t *testing.T) {
	files := withCD()
	for _, name := range []string{BIOSBoot, BIOSCore, CDCore, CDHybrid} {
		delete(files, name)
	}
	m, err := NewMedium(files)
	if err != nil || m.Core != nil || !slices.ContainsFunc(m.EFI, func(f fat32.File) bool { return f.Path == "EFI/BOOT/BOOTX64.EFI" }) {
		t.Errorf("%+v, %v", m, err)
	}
}
