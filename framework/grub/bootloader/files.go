// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Names in slotimage.Image.Bootloader, below layout.ImageBoot.
const (
	BIOSBoot = "bios/boot.img"
	BIOSCore = "bios/core.img"
	Config   = bootconf.GRUBConfig
	DirFile  = "grub-dir" // names the folder below EFI/ where the signed GRUB looks for grub.cfg
	efiDir   = "efi/"
	efiShim  = efiDir + "shim" // the architecture and .efi follow
	efiGRUB  = efiDir + "grub"
	efiMok   = efiDir + "mm"
	anyGRUB  = efiGRUB + ".efi" // as the shim of SUSE starts it, on every architecture
	netGRUB  = "net/grub"       // not on a disk: see NetworkPrograms
)

// Facts of GRUB's BIOS images (grub 2.12: include/grub/i386/pc/boot.h,
// util/setup.c). Offsets are in bytes.
const (
	// bootCodeSize is how much of boot.img goes to the MBR. The disk signature and
	// the partition records follow.
	bootCodeSize = 0x1b8
	// kernelSector in boot.img holds the sector of core.img, 64 bits.
	kernelSector = 0x5c
	// driveCheck in boot.img is a jump over code that mistrusts the BIOS's boot
	// drive number. On hard disks two nops replace it.
	driveCheck = 0x66
	nops       = "\x90\x90"
	// firstList at the end of core.img's first sector says where the rest is:
	// sector (64 bits), number of sectors (16 bits), segment to load it to.
	firstList   = gpt.SectorSize - 12
	loadSegment = 0x820
)

// ErrFiles is the error of New for files that do not make a boot loader.
var ErrFiles = errors.New("the image's boot loader is not usable")

// Files is the checked boot loader of an image.
type Files struct {
	bootconf.Loader
	boot, core []byte // for BIOS; nil if the image has none
	script     []byte // grub.cfg
	programs   []program
	dir        string // below EFI/, where GRUB looks for grub.cfg
}

// A program is a program for UEFI. Files.programs is in the order of Promote.
type program struct {
	name      string // as in the staging folder: grubx64.efi
	installed string // path on the EFI partition
	data      []byte
}

var dirName = lazyregexp.New(`^([a-z0-9_-]{1,8}|[A-Z0-9_-]{1,8})$`)

// New checks the files of an image; their names are below layout.ImageBoot. It needs
// programs for BIOS, for UEFI, or for both.
func New(files map[string][]byte) (*Files, error) {
	f := &Files{boot: files[BIOSBoot], core: files[BIOSCore], script: files[Config]}
	f.dir = strings.TrimSpace(string(files[DirFile]))
	if !dirName.MatchString(f.dir) {
		return nil, fmt.Errorf("%w: %s/%s is %q: want the name of a folder below EFI/: at most 8 letters of one case, digits, _ and -", ErrFiles, layout.ImageBoot, DirFile, f.dir)
	}
	if len(f.script) == 0 {
		return nil, fmt.Errorf("%w: %s has no %s: build the image anew", ErrFiles, layout.ImageBoot, Config)
	}
	if (f.boot == nil) != (f.core == nil) {
		return nil, fmt.Errorf("%w: of %s and %s in %s one is missing", ErrFiles, BIOSBoot, BIOSCore, layout.ImageBoot)
	}
	if f.core != nil {
		if err := checkBIOS(f.boot, f.core); err != nil {
			return nil, err
		}
	}
	if err := f.takeEFI(files); err != nil {
		return nil, err
	}
	if f.core == nil && len(f.programs) == 0 {
		return nil, fmt.Errorf("%w: %s has programs neither for BIOS (%s) nor for UEFI (%sx64.efi, %sx64.efi)", ErrFiles, layout.ImageBoot, BIOSCore, efiShim, efiGRUB)
	}
	return f, nil
}

// takeEFI puts the programs where firmware looks on a disk without boot entries: the shim
// as BOOT<ARCH>.EFI, and beside it the programs that the shim loads.
func (f *Files) takeEFI(files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		arch, ok := strings.CutPrefix(name, efiShim)
		if !ok {
			continue
		}
		grub := efiGRUB + arch
		if files[grub] == nil {
			grub = anyGRUB
		}
		if files[grub] == nil {
			return fmt.Errorf("%w: %s has %s but no %s and no %s", ErrFiles, layout.ImageBoot, name, efiGRUB+arch, anyGRUB)
		}
		f.take(files, grub, "EFI/BOOT/"+strings.TrimPrefix(grub, efiDir))
		f.take(files, efiMok+arch, "EFI/BOOT/mm"+arch)
		f.take(files, efiShim+arch, "EFI/BOOT/BOOT"+strings.ToUpper(arch))
	}
	return nil
}

func (f *Files) take(files map[string][]byte, name, installed string) {
	if data := files[name]; data != nil {
		f.programs = append(f.programs, program{strings.TrimPrefix(name, efiDir), installed, data})
	}
}

// EFI returns the files of a new disk's EFI partition: grub.cfg, which GRUB for BIOS reads
// too, the programs where firmware finds them, by path, and the environment block.
func (f *Files) EFI() ([]fat32.File, error) {
	list := []fat32.File{f.config()}
	for _, p := range f.programs {
		list = append(list, fat32.File{Path: p.installed, Data: p.data})
	}
	slices.SortFunc(list[1:], func(a, b fat32.File) int { return strings.Compare(a.Path, b.Path) })
	env, err := grubenv.Encode(slot.Initial().Vars())
	return append(list, fat32.File{Path: f.Env(), Data: env}), err
}

// Env returns the path of GRUB's environment block on the EFI partition.
func (f *Files) Env() string { return "EFI/" + f.dir + "/" + bootconf.GRUBEnv }

func (f *Files) config() fat32.File {
	return fat32.File{Path: "EFI/" + f.dir + "/" + bootconf.GRUBConfig, Data: f.script}
}

// BIOS tells whether there are programs for BIOS.
func (f *Files) BIOS() bool { return f.core != nil }

// BootCode returns the beginning of the MBR. It loads the core image that starts at that
// sector of the disk. It is nil without BIOS.
func (f *Files) BootCode(sector int64) []byte {
	if f.boot == nil {
		return nil
	}
	code := bytes.Clone(f.boot[:bootCodeSize])
	binary.LittleEndian.PutUint64(code[kernelSector:], uint64(sector))
	copy(code[driveCheck:], nops)
	return code
}

// Core returns the core image for that sector of the disk: the image finds its own second
// sector by number. It is nil without BIOS.
func (f *Files) Core(sector int64) []byte {
	if f.core == nil {
		return nil
	}
	image := bytes.Clone(f.core)
	binary.LittleEndian.PutUint64(image[firstList:], uint64(sector+1))
	return image
}

// Room returns what partition bios must have room for, as words and in bytes.
func (f *Files) Room() (what string, size int64) {
	return BIOSCore + " twice, now and after an update,", 2 * int64(len(f.core))
}

// checkBIOS refuses images that BootCode and Core cannot patch.
func checkBIOS(boot, core []byte) error {
	if len(boot) != gpt.SectorSize || boot[510] != 0x55 || boot[511] != 0xaa {
		return fmt.Errorf("%w: %s is not GRUB's boot sector of %d bytes", ErrFiles, BIOSBoot, gpt.SectorSize)
	}
	if len(core) <= gpt.SectorSize {
		return fmt.Errorf("%w: %s has %d bytes", ErrFiles, BIOSCore, len(core))
	}
	le := binary.LittleEndian
	rest, segment := int(le.Uint16(core[firstList+8:])), le.Uint16(core[firstList+10:])
	if want := sectors(len(core)) - 1; rest != want || segment != loadSegment {
		return fmt.Errorf("%w: %s loads %d sectors to segment %#x: want %d to %#x; make it with grub-mkimage -O i386-pc", ErrFiles, BIOSCore, rest, segment, want, loadSegment)
	}
	return nil
}

func sectors(n int) int { return (n + gpt.SectorSize - 1) / gpt.SectorSize }
