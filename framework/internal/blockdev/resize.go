// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers from include/uapi/linux/blkpg.h.
const (
	blkpg                = 0x1269
	blkpgAddPartition    = 1
	blkpgResizePartition = 3
	blkpgPartitionSize   = 152 // struct blkpg_partition with its padding
)

// blkpgArg is struct blkpg_ioctl_arg of a 64-bit kernel.
type blkpgArg struct {
	op, flags, length int32
	_                 int32
	data              unsafe.Pointer
}

// blkpgPartition encodes struct blkpg_partition: start and length in bytes, then
// the partition's number. The kernel does not use the names in it.
func blkpgPartition(p Partition) []byte {
	b := make([]byte, blkpgPartitionSize)
	binary.NativeEndian.PutUint64(b[0:], uint64(p.Start))
	binary.NativeEndian.PutUint64(b[8:], uint64(p.Size))
	binary.NativeEndian.PutUint32(b[16:], uint32(p.Number))
	return b
}

// Resize tells the kernel that p, a partition of the open disk, now has
// p.Size bytes. Unlike Reread, it works while partitions of the disk are in use.
func Resize(disk *os.File, p Partition) error {
	if err := tell(disk, blkpgResizePartition, p); err != nil {
		return fmt.Errorf("telling the kernel that partition %d of %s now has %d bytes: %w", p.Number, disk.Name(), p.Size, err)
	}
	return nil
}

// Add tells the kernel of a new partition of the open disk, so that it gets a
// device. The partition must be in the table on the disk already.
func Add(disk *os.File, p Partition) error {
	if err := tell(disk, blkpgAddPartition, p); err != nil {
		return fmt.Errorf("telling the kernel of the new partition %d of %s: %w", p.Number, disk.Name(), err)
	}
	return nil
}

func tell(disk *os.File, op int32, p Partition) error {
	data := blkpgPartition(p)
	arg := blkpgArg{op: op, length: int32(len(data)), data: unsafe.Pointer(&data[0])}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), blkpg, uintptr(unsafe.Pointer(&arg)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return errno
	}
	return nil
}

// Reread has the kernel read the partition table of the open disk again. It
// fails while a partition of the disk is in use.
func Reread(disk *os.File) error {
	if err := unix.IoctlSetInt(int(disk.Fd()), unix.BLKRRPART, 0); err != nil {
		return fmt.Errorf("reading the partition table of %s again: %w", disk.Name(), err)
	}
	return nil
}
