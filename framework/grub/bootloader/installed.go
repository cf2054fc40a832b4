// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// maxCore, in bytes, is the largest core image: the first list of blocks counts sectors up
// to here (GRUB 2.12, include/grub/i386/pc/memory.h: GRUB_MEMORY_MACHINE_DECOMPRESSION).
const maxCore = 1 << 19

// maxProgram, in bytes, is the largest program of an EFI partition that is read.
const maxProgram = 32 << 20

// Installed reads the boot loader of an installed disk back, as the files that New takes:
// New makes the same disk of them. (The core image may be longer by zeros, up to the end
// of a sector.) esp is the EFI partition. Programs of others on it are left out.
func Installed(disk io.ReaderAt, table *gpt.Table, esp io.ReaderAt) (map[string][]byte, error) {
	files := map[string][]byte{}
	part, ok := table.Partition(layout.PartEFI)
	if !ok {
		return nil, fmt.Errorf("%w: the disk has no partition %q", ErrForeign, layout.PartEFI)
	}
	v, err := fat32.Open(esp, part.Size())
	if err != nil {
		return nil, fmt.Errorf("reading the boot loader of the disk: %w", err)
	}
	if err := errors.Join(readConfig(v, files), readPrograms(v, files), readBIOS(disk, table, files)); err != nil {
		return nil, fmt.Errorf("reading the boot loader of the disk: %w", err)
	}
	return files, nil
}

// readConfig finds the folder with grub.cfg and the environment block.
func readConfig(v *fat32.Volume, files map[string][]byte) error {
	dirs, err := v.List("EFI")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !d.Dir || !dirName.MatchString(d.Name) {
			continue
		}
		dir := "EFI/" + d.Name
		list, err := v.List(dir)
		if err != nil {
			return err
		}
		if has(list, Config) && has(list, "grubenv") {
			files[DirFile] = []byte(d.Name + "\n")
			files[Config], err = readBounded(v, dir, list, Config)
			return err
		}
	}
	return fmt.Errorf("%w: no folder below EFI/ has %s and an environment block", ErrForeign, Config)
}

// readPrograms reads the shim, GRUB and the MokManager of each architecture.
func readPrograms(v *fat32.Volume, files map[string][]byte) error {
	const dir = "EFI/BOOT"
	list, err := v.List(dir)
	if err != nil {
		return nil //nolint:nilerr // a disk for BIOS alone has none
	}
	for _, e := range list {
		name := strings.ToLower(e.Name)
		arch, ok := strings.CutPrefix(name, "boot")
		if !ok || !strings.HasSuffix(arch, ".efi") {
			continue
		}
		for from, to := range map[string]string{e.Name: efiShim + arch, "grub" + arch: efiGRUB + arch, "grub.efi": anyGRUB, "mm" + arch: efiMok + arch} {
			if !has(list, from) {
				continue
			}
			if files[to], err = readBounded(v, dir, list, from); err != nil {
				return err
			}
		}
	}
	return nil
}

func has(list []fat32.Entry, name string) bool { return find(list, name) >= 0 }

func find(list []fat32.Entry, name string) int {
	return slices.IndexFunc(list, func(e fat32.Entry) bool { return !e.Dir && strings.EqualFold(e.Name, name) })
}

func readBounded(v *fat32.Volume, dir string, list []fat32.Entry, name string) ([]byte, error) {
	if size := list[find(list, name)].Size; size > maxProgram {
		return nil, fmt.Errorf("%w: %s/%s has %d bytes", ErrForeign, dir, name, size)
	}
	return v.ReadFile(dir + "/" + name)
}

// readBIOS reads the boot code of the MBR, and the core image that it starts.
func readBIOS(disk io.ReaderAt, table *gpt.Table, files map[string][]byte) error {
	part, ok := table.Partition(layout.PartBIOS)
	if !ok {
		return nil
	}
	boot := make([]byte, gpt.SectorSize)
	if _, err := disk.ReadAt(boot, 0); err != nil {
		return err
	}
	sector := int64(binary.LittleEndian.Uint64(boot[kernelSector:]))
	if len(strings.Trim(string(boot[:bootCodeSize]), "\x00")) == 0 {
		return nil
	}
	if sector < part.First || sector > part.Last {
		return fmt.Errorf("%w: the MBR loads sector %d, which is not in partition %q", ErrForeign, sector, part.Name)
	}
	core := make([]byte, gpt.SectorSize)
	if _, err := disk.ReadAt(core, sector*gpt.SectorSize); err != nil {
		return err
	}
	size := (1 + int64(binary.LittleEndian.Uint16(core[firstList+8:]))) * gpt.SectorSize
	if size > maxCore || sector+size/gpt.SectorSize-1 > part.Last {
		return fmt.Errorf("%w: a core image of %d bytes in sector %d", ErrForeign, size, sector)
	}
	core = make([]byte, size)
	if _, err := disk.ReadAt(core, sector*gpt.SectorSize); err != nil {
		return err
	}
	clear(boot[bootCodeSize:])
	boot[510], boot[511] = 0x55, 0xaa
	files[BIOSBoot], files[BIOSCore] = boot, core
	return nil
}
