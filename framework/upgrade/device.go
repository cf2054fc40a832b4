// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
)

// A Device is a partition that is written.
type Device interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() int64 // bytes
	Sync() error // puts what was written on the medium
	// Forget makes the next reads come from the medium.
	Forget() error
}

// writeback, in bytes, is how much may wait for the medium: dirty memory cannot be used
// otherwise, and a final Sync of gigabytes would block everything.
const writeback = 8 << 20

// A Partition is the Device of a node: a block device or, in tests, a file.
type Partition struct {
	*os.File
	size   int64
	sector int64
	start  int64 // of the bytes that wait for the medium
	dirty  int64 // how many wait
}

// OpenPartition opens a block device exclusively. It returns an error if the device is
// mounted or mapped.
func OpenPartition(path string) (*Partition, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: it is in use; see what holds it with `lsblk %s`", err, path)
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	sector, err := blockdev.Sector(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Partition{File: f, size: size, sector: sector}, nil
}

// Sector is the size of the device's own sectors, in bytes; of a file 512.
func (p *Partition) Sector() int64 { return p.sector }

// Size implements Device.
func (p *Partition) Size() int64 { return p.size }

// WriteAt implements io.WriterAt. After every writeback bytes it starts their write to the
// medium and waits for the piece before.
func (p *Partition) WriteAt(b []byte, off int64) (int, error) {
	n, err := p.File.WriteAt(b, off)
	if err != nil {
		return n, err
	}
	if off < p.start || p.dirty == 0 {
		p.start = off
	}
	if p.dirty += int64(n); p.dirty < writeback {
		return n, nil
	}
	return n, p.push(off + int64(n))
}

// push sends [start, end) to the medium, and waits for the piece before it.
func (p *Partition) push(end int64) error {
	fd, start := int(p.Fd()), p.start
	before := max(0, start-writeback)
	err := unix.SyncFileRange(fd, start, end-start, unix.SYNC_FILE_RANGE_WRITE)
	if err == nil && before < start {
		err = unix.SyncFileRange(fd, before, start-before, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	}
	p.dirty = 0
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system cannot do it
		return nil
	}
	return os.NewSyscallError("sync_file_range", err)
}

// Forget implements Device. Call Sync first.
func (p *Partition) Forget() error {
	if err := unix.Fadvise(int(p.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return os.NewSyscallError("fadvise", err)
	}
	info, err := p.Stat()
	if err != nil || info.Mode()&os.ModeDevice == 0 {
		return err
	}
	return os.NewSyscallError("BLKFLSBUF", unix.IoctlSetInt(int(p.Fd()), unix.BLKFLSBUF, 0))
}
