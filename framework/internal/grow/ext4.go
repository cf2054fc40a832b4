// SPDX-License-Identifier: Apache-2.0

package grow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in the ext4 superblock, which is 1024 bytes into the device; see
// Documentation/filesystems/ext4/super.rst of the kernel.
const (
	superblockAt   = 1024
	superblockSize = 1024
	offBlocksLow   = 0x04
	offLogBlock    = 0x18
	offMagic       = 0x38
	offState       = 0x3a
	offIncompat    = 0x60
	offUUID        = 0x68
	offBlocksHigh  = 0x150

	ext4Magic       = 0xef53
	stateErrors     = 0x2
	incompatRecover = 0x4
	incompat64bit   = 0x80
)

// ErrNotExt4 is returned for a device without an ext4 superblock.
var ErrNotExt4 = errors.New("no ext4 file system")

// Ext4 is the part of a superblock that a boot needs to know.
type Ext4 struct {
	BlockSize int64 // bytes
	Blocks    int64
	UUID      [16]byte
	// Errors is set when the kernel found the file system damaged. It does
	// not grow until e2fsck has repaired it.
	Errors bool
	// NeedsRecovery is set when the journal must be replayed, since the last mount
	// ended with a power cut. The numbers above may be old.
	NeedsRecovery bool
}

func parseExt4(b []byte) (Ext4, error) {
	le := binary.LittleEndian
	if len(b) < superblockSize || le.Uint16(b[offMagic:]) != ext4Magic {
		return Ext4{}, ErrNotExt4
	}
	log := le.Uint32(b[offLogBlock:])
	if log > 6 {
		return Ext4{}, fmt.Errorf("%w: its block size is 2^%d KiB", ErrNotExt4, log)
	}
	blocks := uint64(le.Uint32(b[offBlocksLow:]))
	if le.Uint32(b[offIncompat:])&incompat64bit != 0 {
		blocks |= uint64(le.Uint32(b[offBlocksHigh:])) << 32
	}
	if blocks>>48 != 0 {
		return Ext4{}, fmt.Errorf("%w: it claims %d blocks", ErrNotExt4, blocks)
	}
	return Ext4{
		BlockSize: 1024 << log, Blocks: int64(blocks), UUID: [16]byte(b[offUUID:]),
		Errors:        le.Uint16(b[offState:])&stateErrors != 0,
		NeedsRecovery: le.Uint32(b[offIncompat:])&incompatRecover != 0,
	}, nil
}

// Inspect reads the superblock on device; the error wraps ErrNotExt4 when there is
// none. While the file system is mounted, the superblock on disk may be old.
func Inspect(device string) (fs Ext4, err error) {
	f, err := os.Open(device)
	if err != nil {
		return Ext4{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, superblockSize)
	if _, err := f.ReadAt(b, superblockAt); err != nil && !errors.Is(err, io.EOF) {
		return Ext4{}, err
	}
	if fs, err = parseExt4(b); err != nil {
		return Ext4{}, fmt.Errorf("%s: %w", device, err)
	}
	return fs, nil
}

// FileSystem grows the ext4 file system fs, which is mounted at dir, to size
// bytes, the size of its partition. It returns the file system's new size, or
// 0 when it was that large already.
func FileSystem(fs Ext4, dir string, size int64) (grown int64, err error) {
	blocks := uint64(size / fs.BlockSize)
	if int64(blocks) <= fs.Blocks {
		return 0, nil
	}
	if err := resizeExt4(dir, blocks); err != nil {
		return 0, fmt.Errorf("growing the file system at %s from %d to %d blocks: %w", dir, fs.Blocks, blocks, err)
	}
	return int64(blocks) * fs.BlockSize, nil
}

// resizeExt4 is EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64).
func resizeExt4(dir string, blocks uint64) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	const resizeFS = 1<<30 | 8<<16 | 'f'<<8 | 16
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return errors.Join(errno, f.Close())
	}
	return f.Close()
}
