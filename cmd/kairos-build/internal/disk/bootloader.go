// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/grubenv"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Names in Image.Bootloader, below layout.ImageBoot.
const (
	biosBoot = "bios/boot.img"
	biosCore = "bios/core.img"
	grubDir  = "grub-dir"
)

// Facts of GRUB's BIOS images (grub 2.12: include/grub/i386/pc/boot.h,
// util/setup.c). Offsets are in bytes.
const (
	// bootCodeSize of boot.img goes to the MBR; behind it are the disk
	// signature and the partition records.
	bootCodeSize = 0x1b8
	// kernelSector in boot.img: the sector of core.img, 64 bits.
	kernelSector = 0x5c
	// driveCheck in boot.img is a jump over code that mistrusts the BIOS's
	// boot drive number. On hard disks it is replaced by two nops.
	driveCheck = 0x66
	nops       = "\x90\x90"
	// firstList at the end of core.img's first sector says where the rest is:
	// sector (64 bits), number of sectors (16 bits), segment to load it to.
	firstList   = gpt.SectorSize - 12
	loadSegment = 0x820
)

// A bootloader is the checked contents of Image.Bootloader.
type bootloader struct {
	boot, core []byte // BIOS; nil when the image has none
	efi        map[string][]byte
	dir        string // below EFI/, where GRUB looks for grub.cfg
}

var dirName = regexp.MustCompile(`^([a-z0-9_-]{1,8}|[A-Z0-9_-]{1,8})$`)

// newBootloader needs programs for BIOS, for UEFI, or for both.
func newBootloader(files map[string][]byte) (*bootloader, error) {
	b := &bootloader{boot: files[biosBoot], core: files[biosCore], efi: map[string][]byte{}}
	b.dir = strings.TrimSpace(string(files[grubDir]))
	if !dirName.MatchString(b.dir) {
		return nil, fmt.Errorf("%w: %s/%s is %q: want the name of a folder below EFI/: at most 8 letters of one case, digits, _ and -", ErrBootloader, layout.ImageBoot, grubDir, b.dir)
	}
	if (b.boot == nil) != (b.core == nil) {
		return nil, fmt.Errorf("%w: of %s and %s in %s one is missing", ErrBootloader, biosBoot, biosCore, layout.ImageBoot)
	}
	if b.core != nil {
		if err := checkBIOS(b.boot, b.core); err != nil {
			return nil, err
		}
	}
	if err := b.takeEFI(files); err != nil {
		return nil, err
	}
	if b.core == nil && len(b.efi) == 0 {
		return nil, fmt.Errorf("%w: %s has programs neither for BIOS (%s) nor for UEFI (efi/shimx64.efi, efi/grubx64.efi)", ErrBootloader, layout.ImageBoot, biosCore)
	}
	return b, nil
}

// takeEFI puts the programs where firmware looks on a disk without boot
// entries: the shim as BOOT<ARCH>.EFI, and beside it what it loads.
func (b *bootloader) takeEFI(files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		arch, ok := strings.CutPrefix(name, "efi/shim")
		if !ok {
			continue
		}
		grub, manager := "efi/grub"+arch, "efi/mm"+arch
		if files[grub] == nil {
			return fmt.Errorf("%w: %s has %s but no %s", ErrBootloader, layout.ImageBoot, name, grub)
		}
		b.efi["EFI/BOOT/BOOT"+strings.ToUpper(arch)] = files[name]
		b.efi["EFI/BOOT/grub"+arch] = files[grub]
		if files[manager] != nil {
			b.efi["EFI/BOOT/mm"+arch] = files[manager]
		}
	}
	return nil
}

// efiFiles are the files of the EFI partition, which BIOS boots read too.
func (b *bootloader) efiFiles() ([]fat32.File, error) {
	env, err := grubenv.Encode(slot.Initial().Vars())
	if err != nil {
		return nil, err
	}
	dir := "EFI/" + b.dir + "/"
	files := []fat32.File{{Path: dir + bootconf.GRUBConfig, Data: bootconf.GRUB()}, {Path: dir + bootconf.GRUBEnv, Data: env}}
	for _, path := range slices.Sorted(maps.Keys(b.efi)) {
		files = append(files, fat32.File{Path: path, Data: b.efi[path]})
	}
	return files, nil
}

// checkBIOS refuses what is not the pair of images that the patches are for.
func checkBIOS(boot, core []byte) error {
	if len(boot) != gpt.SectorSize || boot[510] != 0x55 || boot[511] != 0xaa {
		return fmt.Errorf("%w: %s is not GRUB's boot sector of %d bytes", ErrBootloader, biosBoot, gpt.SectorSize)
	}
	if len(core) <= gpt.SectorSize {
		return fmt.Errorf("%w: %s has %d bytes", ErrBootloader, biosCore, len(core))
	}
	le := binary.LittleEndian
	rest, segment := int(le.Uint16(core[firstList+8:])), le.Uint16(core[firstList+10:])
	if want := sectors(len(core)) - 1; rest != want || segment != loadSegment {
		return fmt.Errorf("%w: %s loads %d sectors to segment %#x: want %d to %#x; make it with grub-mkimage -O i386-pc", ErrBootloader, biosCore, rest, segment, want, loadSegment)
	}
	return nil
}

func sectors(n int) int { return (n + gpt.SectorSize - 1) / gpt.SectorSize }

// writeMBR writes the boot code, patched to load core.img from its partition.
func (b *bootloader) writeMBR(w io.WriterAt, core gpt.Partition) error {
	if b.boot == nil {
		return nil
	}
	code := bytes.Clone(b.boot[:bootCodeSize])
	binary.LittleEndian.PutUint64(code[kernelSector:], uint64(core.First))
	copy(code[driveCheck:], nops)
	_, err := w.WriteAt(code, 0)
	return err
}

// writeCore writes core.img, patched to find its own second sector.
func (b *bootloader) writeCore(w io.WriterAt, core gpt.Partition) error {
	if b.core == nil {
		return nil
	}
	image := bytes.Clone(b.core)
	binary.LittleEndian.PutUint64(image[firstList:], uint64(core.First+1))
	_, err := w.WriteAt(image, core.Offset())
	return err
}
