// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// Names in slotimage.Image.Bootloader that only installer media need.
const (
	CDCore   = "bios/eltorito.img"    // cdboot.img and a core image
	CDHybrid = "bios/boot_hybrid.img" // the boot code that starts CDCore from a stick
)

// CDCorePath is where CDCore is on an installer medium, and BIOSConfig where it looks for its
// configuration.
const (
	CDCorePath = "boot/grub/eltorito.img"
	BIOSConfig = "boot/grub/" + bootconf.GRUBConfig
)

// cdModules lists the modules in CDCore: all that the menu of an installer medium uses.
const cdModules = "biosdisk iso9660 fat part_gpt part_msdos linux chain normal configfile regexp test true echo serial terminal halt reboot sleep minicmd ls cat search search_label search_fs_file"

// A Medium is the boot loader of an installer medium.
type Medium struct {
	// Core and Hybrid start the medium under BIOS, as iso9660.BIOS describes. Both are nil
	// if the image starts only under UEFI.
	Core, Hybrid []byte
	// EFI are the files of the EFI image. Config is the one among them, and in the tree of
	// the medium, that GRUB reads: GRUB takes the CD-ROM for its device, and not the EFI
	// image on it.
	EFI    []fat32.File
	Config fat32.File
}

// NewMedium returns the boot loader for an installer medium from the files of an image.
func NewMedium(files map[string][]byte) (Medium, error) {
	f, err := New(files)
	if err != nil {
		return Medium{}, err
	}
	if f.BIOS() && (files[CDCore] == nil || files[CDHybrid] == nil) {
		return Medium{}, fmt.Errorf("%w: %s has no %s and %s, which start a CD-ROM under BIOS: an older kairos-build made the image; build it again", ErrFiles, layout.ImageBoot, CDCore, CDHybrid)
	}
	m := Medium{Core: files[CDCore], Hybrid: files[CDHybrid], Config: fat32.File{Path: "EFI/" + f.dir + "/" + bootconf.GRUBConfig, Data: bootconf.Live()}}
	for _, p := range f.programs {
		m.EFI = append(m.EFI, fat32.File{Path: p.installed, Data: p.data})
	}
	if m.EFI == nil {
		return m, nil
	}
	m.EFI = append(m.EFI, m.Config)
	slices.SortFunc(m.EFI, func(a, b fat32.File) int { return strings.Compare(a.Path, b.Path) })
	return m, nil
}

// MakeCD returns the command that makes CDCore. Its prefix names no device, so GRUB uses
// the one that it was started from.
func (s Source) MakeCD(to string) []string {
	args := []string{"grub-mkimage", "--directory", s.Modules, "--format", "i386-pc-eltorito", "--prefix", "/boot/grub", "--output", to}
	return append(args, strings.Fields(cdModules)...)
}
