// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disk"
)

// slotLoader starts the slots of our disks.
type slotLoader = bootconf.Loader

// diskLoader makes the boot loader of a disk from the files of an image.
func diskLoader(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) }
