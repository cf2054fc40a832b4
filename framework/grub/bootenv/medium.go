// SPDX-License-Identifier: Apache-2.0

package bootenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
)

// A medium is the partition, open for writing.
type medium interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Forget() error // drops it from the page cache
}

// openMedium bypasses the page cache on a block device with sectors of 512 bytes. With
// larger sectors the kernel would refuse such a write; there the page cache makes a whole
// sector of it.
func openMedium(device string) (medium, error) {
	flags := os.O_RDWR
	if sectorsFit(device) {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(device, flags, 0)
	if errors.Is(err, unix.EINVAL) { // the driver does not support O_DIRECT
		f, err = os.OpenFile(device, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	return blockdev.Device{File: f}, nil
}

// sectorsFit tells whether device is a block device with sectors of sectorSize bytes.
func sectorsFit(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	return err == nil && n == sectorSize
}

// overwrite writes one sector and reads it back.
func overwrite(m medium, sector []byte, offset int64) (err error) {
	page, err := alignedPage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Munmap(page)) }()
	buf := page[:sectorSize]
	copy(buf, sector)
	if _, err := m.WriteAt(buf, offset); err != nil {
		return err
	}
	if err := errors.Join(m.Sync(), m.Forget()); err != nil {
		return err
	}
	clear(buf)
	if _, err := m.ReadAt(buf, offset); err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	if !bytes.Equal(buf, sector) {
		return fmt.Errorf("reading back at byte %d: the device does not hold what was written to it; it is failing, replace it", offset)
	}
	return nil
}

// alignedPage returns a page of memory, aligned as O_DIRECT requires.
func alignedPage() ([]byte, error) {
	return unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}
