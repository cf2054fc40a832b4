// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A Device is an open block device, or a file in its place.
type Device struct{ *os.File }

// Open opens a device for reading and writing.
func Open(path string) (Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return Device{}, fmt.Errorf("opening a block device: %w", err)
	}
	return Device{f}, nil
}

// Size in bytes.
func (d Device) Size() (int64, error) { return d.Seek(0, io.SeekEnd) }

// Forget drops the page cache, so that the next read comes from the device. Pages
// that were not flushed stay.
func (d Device) Forget() error {
	return unix.Fadvise(int(d.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// Sector is the size of the sectors that a disk itself has, in bytes (BLKSSZGET: the
// logical block size); of a file 512.
func Sector(f *os.File) (int64, error) {
	size, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	switch {
	case errors.Is(err, unix.ENOTTY):
		return 512, nil
	case err != nil:
		return 0, fmt.Errorf("asking for the size of the sectors of %s: %w", f.Name(), err)
	}
	return int64(size), nil
}
