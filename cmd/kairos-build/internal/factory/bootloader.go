// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/iso"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// slotLoader starts the slots of our disks.
type slotLoader = bootconf.Loader

// diskLoader makes the boot loader of a disk from the files of an image.
func diskLoader(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) }

// mediumLoader makes the boot loader of an installer medium from the files of an image.
func mediumLoader(files map[string][]byte) (iso.BootLoader, error) {
	m, err := bootloader.NewMedium(files)
	l := iso.BootLoader{BootLoader: slotLoader{}, Core: m.Core, Hybrid: m.Hybrid, CorePath: bootloader.CDCorePath, EFI: m.EFI}
	if m.Core != nil {
		l.Menu = []fat32.File{{Path: bootloader.BIOSConfig, Data: m.Config.Data}}
	}
	return l, err
}
