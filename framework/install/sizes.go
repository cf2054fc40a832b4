// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// Sizes are the sizes of partitions that a config asks for. In it, a slot is a boot and a
// root partition together, and "state" both slots.
func Sizes(c config.InstallSizes) (layout.Sizes, error) {
	boot := layout.Boot
	s := layout.Sizes{EFI: int64(c.EFI) * layout.MiB, OEM: int64(c.OEM) * layout.MiB}
	var errs []error
	root := func(key string, size, slots int64) int64 {
		if size == 0 {
			return 0
		}
		r := size*layout.MiB/slots - boot
		if r < layout.MiB {
			errs = append(errs, fmt.Errorf("install.partitions.%s.size: %d MiB: it has %d boot partitions of %d MiB, and the root images", key, size, slots, boot>>20))
		}
		return r / layout.MiB * layout.MiB
	}
	s.Root, s.Recovery = root("state", int64(c.State), 2), root("recovery", int64(c.Recovery), 1)
	return s, errors.Join(errs...)
}

// Extra are the partitions that a config adds.
func Extra(list []config.InstallPartition) []layout.Partition {
	kinds := map[string]layout.FileSystem{"ext4": layout.Ext4, "vfat": layout.FAT32, "none": layout.Raw}
	var out []layout.Partition
	for _, p := range list {
		out = append(out, layout.Partition{Name: p.Name, Label: p.Label, Type: layout.TypeLinux, FS: kinds[p.FileSystem], Size: int64(p.Size) * layout.MiB})
	}
	return out
}
