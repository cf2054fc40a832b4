// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// biosModules lists the modules in the BIOS core image: all that grub.cfg uses, so that
// GRUB loads only its configuration from the disk.
const biosModules = "biosdisk part_gpt fat linux normal configfile loadenv regexp probe test true echo serial terminal halt reboot sleep minicmd ls cat search"

// A Source says where a distribution has the parts of its boot loader.
type Source struct {
	Shim, MokManager, GRUB string // signed programs for UEFI
	NetGRUB                string // signed program for UEFI that boots from the network; empty: none
	Name                   string // file that shim starts; empty: grub and Arch, such as grubx64.efi
	Dir                    string // below EFI/, where the signed GRUB looks for grub.cfg
	Modules                string // folder of GRUB's modules for BIOS; empty: the architecture has no BIOS
	Arch                   string // as in EFI file names
}

// Copies returns the files of an image's boot loader that are copied: source paths by
// their names below layout.ImageBoot.
func (s Source) Copies() map[string]string {
	copies := map[string]string{
		efiShim + s.Arch + ".efi": s.Shim,
		efiMok + s.Arch + ".efi":  s.MokManager,
	}
	if s.Modules != "" {
		copies[BIOSBoot] = filepath.Join(s.Modules, "boot.img")
		copies[CDHybrid] = filepath.Join(s.Modules, "boot_hybrid.img")
	}
	copies[efiDir+cmp.Or(s.Name, "grub"+s.Arch+".efi")] = s.GRUB
	if s.NetGRUB != "" {
		copies[netGRUB+s.Arch+".efi"] = s.NetGRUB
	}
	return copies
}

// MakeCore returns the command that makes BIOSCore. Its prefix names no disk, so GRUB uses
// the disk that it was started from.
func (s Source) MakeCore(to string) []string {
	table := layout.Table(layout.Sizes{})
	efi := slices.IndexFunc(table, func(p layout.Partition) bool { return p.Name == partEFI })
	prefix := fmt.Sprintf("(,gpt%d)/EFI/%s", table[efi].Number, s.Dir)
	args := []string{"grub-mkimage", "--directory", s.Modules, "--format", "i386-pc", "--prefix", prefix, "--output", to}
	return append(args, strings.Fields(biosModules)...)
}
