// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// biosModules is what the BIOS core image holds: all that bootconf's grub.cfg
// uses, so that GRUB loads nothing but its configuration from the disk.
const biosModules = "biosdisk part_gpt fat linux normal configfile loadenv regexp probe test true echo serial terminal halt reboot sleep minicmd ls cat search"

// bootloader collects the boot loader below --out, in the places that
// layout.ImageBoot describes. The EFI programs are the distribution's, signed;
// the BIOS core image is made by its grub-mkimage.
func bootloader(args []string) error {
	flags := flag.NewFlagSet("bootloader", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	debs := flags.String("debs", "/debs", "folder with the packages that these files come from")
	out := flags.String("out", "/out", "root of the result")
	shim := flags.String("shim", "", "the signed shim")
	mok := flags.String("mok-manager", "", "the signed MOK manager")
	grub := flags.String("grub", "", "the signed GRUB")
	grubDir := flags.String("grub-dir", "", "folder below EFI/ where the signed GRUB looks for grub.cfg")
	modules := flags.String("bios-modules", "/usr/lib/grub/i386-pc", "GRUB's modules for BIOS")
	efiArch := flags.String("efi-arch", "x64", "the architecture's name in EFI file names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := unpackRecorded(*debs, "/"); err != nil {
		return err
	}
	dir := filepath.Join(*out, layout.ImageBoot)
	for _, sub := range []string{"bios", "efi"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for to, from := range map[string]string{
		"efi/shim" + *efiArch + ".efi": *shim,
		"efi/mm" + *efiArch + ".efi":   *mok,
		"efi/grub" + *efiArch + ".efi": *grub,
		"bios/boot.img":                filepath.Join(*modules, "boot.img"),
	} {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			return fmt.Errorf("collecting the boot loader: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "grub-dir"), []byte(*grubDir+"\n"), 0o644); err != nil {
		return err
	}
	if err := makeCore(*modules, *grubDir, filepath.Join(dir, "bios/core.img")); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(*out, recordDir), os.DirFS(filepath.Join("/", recordDir))); err != nil {
		return fmt.Errorf("keeping the packages' records: %w", err)
	}
	return clamp(*out, time.Unix(*epoch, 0))
}

// makeCore makes the BIOS core image. Its prefix names no disk, so GRUB takes
// the one it was started from.
func makeCore(modules, grubDir, to string) error {
	prefix := fmt.Sprintf("(,gpt%d)/EFI/%s", efiNumber(), grubDir)
	args := []string{"--directory", modules, "--format", "i386-pc", "--prefix", prefix, "--output", to}
	return run("grub-mkimage", append(args, strings.Fields(biosModules)...)...)
}

func efiNumber() int {
	for _, part := range layout.Table(layout.Sizes{}) {
		if part.Name == layout.PartEFI {
			return part.Number
		}
	}
	panic("BUG: the partition table has no EFI partition")
}
