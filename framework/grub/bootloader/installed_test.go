// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/powercut"
)

// installedDisk is a disk as the installer finds it: with an environment block in the
// folder of grub.cfg.
func installedDisk(t testing.TB) (*powercut.Disk, *Files) {
	t.Helper()
	f := loader(t, release("1"))
	return newDisk(t, f), f
}

// TestInstalled: what is read from a disk makes the same disk again.
func TestInstalled(t *testing.T) {
	d, want := installedDisk(t)
	tab := table()
	files, err := Installed(d, tab, slice{d, tab.Partitions[1].Offset()})
	if err != nil {
		t.Fatal(err)
	}
	got := loader(t, files)
	if !bytes.Equal(got.BootCode(2048), want.BootCode(2048)) {
		t.Error("the boot code differs")
	}
	core := want.Core(2048)
	if read := got.Core(2048); !bytes.Equal(read[:len(core)], core) || len(bytes.Trim(read[len(core):], "\x00")) > 0 {
		t.Error("the core image differs")
	}
	a, err1 := got.EFI()
	b, err2 := want.EFI()
	b[0].Data = []byte("old grub.cfg") // see newDisk
	if diff := cmp.Diff(b, a); diff != "" || err1 != nil || err2 != nil {
		t.Errorf("%v, %v\n%s", err1, err2, diff)
	}
}

// TestInstalledSUSE: the shim of SUSE starts grub.efi, which reads EFI/BOOT/grub.cfg.
func TestInstalledSUSE(t *testing.T) {
	files := release("1")
	files["efi/grub.efi"] = files["efi/grubx64.efi"]
	delete(files, "efi/grubx64.efi")
	files[DirFile] = []byte("BOOT\n")
	f := loader(t, files)
	list, err := f.EFI()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, file := range list {
		paths = append(paths, file.Path)
	}
	if diff := cmp.Diff([]string{"EFI/BOOT/grub.cfg", "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grub.efi", "EFI/BOOT/mmx64.efi", "EFI/BOOT/grubenv"}, paths); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d := newDisk(t, f)
	tab := table()
	got, err := Installed(d, tab, slice{d, tab.Partitions[1].Offset()})
	if err != nil || string(got["efi/grub.efi"]) != string(files["efi/grub.efi"]) || got["efi/grubx64.efi"] != nil || string(got[DirFile]) != "BOOT\n" {
		t.Errorf("read back: %d files, folder %q, %v", len(got), got[DirFile], err)
	}
	for _, file := range f.staging() {
		if name := file.Path[len(stagingDir)+1:]; stagedName(name) == "" {
			t.Errorf("%s is not known in the staging folder", name)
		}
	}
}

// TestInstalledRefuses: a disk of another system is refused, and none is read beyond what
// GRUB can have.
func TestInstalledRefuses(t *testing.T) {
	for name, change := range map[string]func(mbr []byte, d *powercut.Disk){
		"boot code of another": func(mbr []byte, _ *powercut.Disk) { mbr[kernelSector+3] ^= 0x80 },
		"an endless core": func(_ []byte, d *powercut.Disk) {
			core := make([]byte, 512)
			if _, err := d.ReadAt(core, 2048*512); err != nil {
				t.Fatal(err)
			}
			core[firstList+8], core[firstList+9] = 0xff, 0xff
			if _, err := d.WriteAt(core, 2048*512); err != nil {
				t.Fatal(err)
			}
		},
	} {
		d, _ := installedDisk(t)
		mbr := make([]byte, 512)
		if _, err := d.ReadAt(mbr, 0); err != nil {
			t.Fatal(err)
		}
		change(mbr, d)
		if _, err := d.WriteAt(mbr, 0); err != nil {
			t.Fatal(err)
		}
		tab := table()
		if _, err := Installed(d, tab, slice{d, tab.Partitions[1].Offset()}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzInstalled: whatever the MBR, the core image's first sector and the boot sector of the
// EFI partition hold, reading ends, with files that are bounded.
func FuzzInstalled(f *testing.F) {
	files := loader(f, release("1"))
	d := newDisk(f, files)
	seed := make([]byte, 512)
	for _, at := range []int64{0, 2048 * 512, 4096 * 512} {
		if _, err := d.ReadAt(seed, at); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(seed), uint8(at>>20))
	}
	f.Fuzz(func(t *testing.T, sector []byte, where uint8) {
		d := newDisk(t, files)
		at := []int64{0, 2048 * 512, 4096 * 512}[where%3]
		b := make([]byte, 512)
		copy(b, sector)
		if _, err := d.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		tab := table()
		got, err := Installed(d, tab, slice{d, tab.Partitions[1].Offset()})
		if err != nil {
			return
		}
		for name, data := range got {
			if len(data) > maxProgram {
				t.Errorf("%s has %d bytes", name, len(data))
			}
		}
	})
}
