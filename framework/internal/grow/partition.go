// SPDX-License-Identifier: Apache-2.0

// Package grow fits a disk to its machine, while the disk is in use: the partition
// table gets an identity of its own, the last partition grows to the end of the
// disk, and its ext4 file system grows with it. Each step starts from the state of
// the disk, so the next boot finishes a step that was interrupted, and uses the
// space of a disk that was enlarged.
//
// # Identity
//
// Every disk that is written from an image has the GUIDs of that image, which are
// derived (gpt.GUID.Derived). At its first boot a disk gets random GUIDs, so that
// GRUB, /init, udev and the firmware, whose boot entries name a partition by its
// GUID, can tell it from all others.
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

// Fit gives the disk at path its own identity, if it still has that of its image,
// and grows the partition called name to the end of the disk, in one new table (see
// gpt.Rewrite for power cuts). It tells the kernel the new size. size is the
// disk's, in bytes. If the partition cannot grow or does not exist, Fit returns an
// error, but writes the identity all the same.
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

// fitted returns the table for a disk of that many sectors, and an error that tells
// why the partition cannot grow.
func fitted(table *gpt.Table, sectors int64, name string) (*gpt.Table, error) {
	if table.DiskGUID.Derived() {
		table = table.Personal()
	}
	larger, err := table.Grown(name, sectors)
	if err == nil {
		return larger, nil
	}
	return table.For(max(table.Sectors, sectors)), err // the backup belongs at the end
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
