// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	grub "github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// bootloader collects the boot loader below --out, in layout.ImageBoot. The EFI
// programs are the distribution's signed ones; its grub-mkimage makes the BIOS
// core images, for disks and for installer media, where the architecture has a BIOS.
func bootloader(args []string) error {
	flags := flag.NewFlagSet("bootloader", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "no file may be newer than this, in Unix seconds")
	debs := flags.String("debs", "/debs", "folder with the packages that these files come from")
	out := flags.String("out", "/out", "root of the result")
	rpms := flags.String("rpms", "", "the same, of rpm packages")
	var box toolbox
	box.flags(flags)
	mkimage := flags.String("grub-mkimage", "grub-mkimage", "the program that makes GRUB's images")
	var from grub.Source
	flags.StringVar(&from.Name, "grub-name", "", "file that shim starts; default: grub and --efi-arch")
	flags.StringVar(&from.Shim, "shim", "", "the signed shim")
	flags.StringVar(&from.MokManager, "mok-manager", "", "the signed MOK manager")
	flags.StringVar(&from.GRUB, "grub", "", "the signed GRUB")
	flags.StringVar(&from.NetGRUB, "grub-net", "", "the signed GRUB for the network boot, or none")
	flags.StringVar(&from.Dir, "grub-dir", "", "folder below EFI/ where the signed GRUB looks for grub.cfg")
	flags.StringVar(&from.Modules, "bios-modules", "", "GRUB's modules for BIOS, or none")
	flags.StringVar(&from.Arch, "efi-arch", "x64", "the architecture's name in EFI file names")
	if err := flags.Parse(args); err != nil {
		return err
	}
	unpack := func() error { return unpackRecorded(*debs, "/") }
	if *rpms != "" {
		unpack = func() error { return box.unpack(*rpms, "/") }
	}
	if err := unpack(); err != nil {
		return err
	}
	dir := filepath.Join(*out, layout.ImageBoot)
	for to, file := range from.Copies() {
		to = filepath.Join(dir, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(file, to)); err != nil {
			return fmt.Errorf("collecting the boot loader: %w", err)
		}
	}
	for name, data := range map[string][]byte{grub.DirFile: []byte(from.Dir + "\n"), grub.Config: bootconf.GRUB()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if from.Modules != "" {
		for _, make := range [][]string{from.MakeCore(filepath.Join(dir, grub.BIOSCore)), from.MakeCD(filepath.Join(dir, grub.CDCore))} {
			if err := run(*mkimage, make[1:]...); err != nil {
				return err
			}
		}
	}
	if *rpms == "" { // finalise has the rpm packages themselves
		if err := os.CopyFS(filepath.Join(*out, recordDir), os.DirFS(filepath.Join("/", recordDir))); err != nil {
			return fmt.Errorf("keeping the packages' records: %w", err)
		}
	}
	return clamp(*out, time.Unix(*epoch, 0))
}
