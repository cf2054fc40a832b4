// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// readTable reads the partition table of a disk file.
func readTable(disk string) (table *gpt.Table, err error) {
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if table, err = gpt.Read(f, info.Size()); err != nil {
		return nil, fmt.Errorf("reading the partition table of %s: %w", disk, err)
	}
	return table, nil
}

// saveRoot copies the first size bytes of a disk's partition to a new file.
func saveRoot(disk, partition string, size int64, path string) (err error) {
	table, err := readTable(disk)
	if err != nil {
		return err
	}
	p, ok := table.Partition(partition)
	if !ok || p.Size() < size {
		return fmt.Errorf("%s has no partition %s of %d bytes", disk, partition, size)
	}
	in, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(in, p.Offset(), size))
	return errors.Join(err, out.Close())
}
