// SPDX-License-Identifier: Apache-2.0

// Package grow fits a disk to the machine that it came to, while the disk is in
// use: its partition table gets an identity of its own and a last partition up to
// the disk's end, and the ext4 file system in that becomes as large. Each step
// looks at what is there, so a step that was interrupted, or a disk that was
// enlarged later, is taken care of at the next boot.
//
// # Identity
//
// Every disk that is written from an image has the GUIDs of that image: they are
// derived (gpt.GUID.Derived). At its first boot a disk gets random ones, so that
// it is told from all others: by GRUB and /init, by the firmware, whose boot
// entries name a partition by its GUID, and by udev.
package grow

import (
	"errors"
	"fmt"
	"os"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A Change is what Fit did to a partition table.
type Change struct {
	Table    *gpt.Table // as it is on the disk now
	Personal bool       // it has got an identity of its own
	Grown    int64      // the new size of the partition that has grown, bytes, or 0
}

// Fit gives the disk at path its own identity, if it has that of its image, and
// grows the partition called name to the disk's end, in one new table (see
// gpt.Rewrite for what a power cut leaves). The kernel is told of the new size.
// Size is the disk's, in bytes. When the partition cannot grow, or there is none
// of that name, that is an error, but the identity is written all the same.
func Fit(path string, size int64, table *gpt.Table, name string) (Change, error) {
	next, err := fitted(table, size/gpt.SectorSize, name)
	old, _ := table.Partition(name)
	p, _ := next.Partition(name)
	c := Change{Table: next, Personal: next.DiskGUID != table.DiskGUID}
	if p.Size() != old.Size() {
		c.Grown = p.Size()
	}
	if !c.Personal && c.Grown == 0 {
		c.Table = table
		return c, explain(path, err)
	}
	if writeErr := write(path, next); writeErr != nil {
		return Change{Table: table}, explain(path, errors.Join(err, writeErr))
	}
	if c.Grown > 0 {
		err = errors.Join(err, resize(path, p))
	}
	return c, explain(path, err)
}

// fitted is the table for a disk of that many sectors, and why nothing grows.
func fitted(table *gpt.Table, sectors int64, name string) (*gpt.Table, error) {
	if table.DiskGUID.Derived() {
		table = table.Personal()
	}
	larger, err := table.Grown(name, sectors)
	if err == nil {
		return larger, nil
	}
	same := *table
	same.Sectors = max(same.Sectors, sectors) // its backup belongs at the end
	return &same, err
}

func write(path string, table *gpt.Table) (err error) {
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	return gpt.Rewrite(disk, table)
}

func resize(path string, p gpt.Partition) (err error) {
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	return blockdev.Resize(disk, blockdev.Partition{Number: p.Number, Start: p.Offset(), Size: p.Size()})
}

func explain(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("fitting the partition table of %s to it: %w", path, err)
}
