// SPDX-License-Identifier: Apache-2.0

// Package grow makes the last partition of a disk, and the ext4 file system in
// it, as large as the disk allows, while the disk is in use. Each of the two
// steps looks at what is there, so a step that was interrupted, or a disk that
// was enlarged later, is taken care of at the next boot.
package grow

import (
	"errors"
	"fmt"
	"os"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// Partition grows the partition called name of the disk at path to the disk's
// end, in the table (see gpt.Rewrite for what a power cut leaves) and in the
// kernel. Size is the disk's, in bytes. It returns the partition's new size,
// or 0 when there is nothing to gain.
func Partition(path string, size int64, table *gpt.Table, name string) (grown int64, err error) {
	old, ok := table.Partition(name)
	if !ok {
		return 0, fmt.Errorf("growing partition %s of %s: there is none of that name", name, path)
	}
	larger, err := table.Grown(name, size/gpt.SectorSize)
	if err != nil {
		return 0, fmt.Errorf("growing partition %s of %s: %w", name, path, err)
	}
	p, _ := larger.Partition(name)
	if p.Size() == old.Size() {
		return 0, nil
	}
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("growing partition %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if err := gpt.Rewrite(disk, larger); err != nil {
		return 0, fmt.Errorf("growing partition %s of %s: %w", name, path, err)
	}
	return p.Size(), blockdev.Resize(disk, blockdev.Partition{Number: p.Number, Start: p.Offset(), Size: p.Size()})
}
