// SPDX-License-Identifier: Apache-2.0

// Package dm makes device-mapper devices with the kernel's own interface, the
// ioctls of /dev/mapper/control (include/uapi/linux/dm-ioctl.h), so that an
// initramfs needs neither libdevmapper nor udev. It makes only devices with one target.
package dm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control is the device that takes the ioctls. devtmpfs makes it when the
// module dm_mod is loaded.
const Control = "/dev/mapper/control"

const sectorSize = 512

// Table is a device-mapper table of one line that begins at sector 0.
type Table struct {
	Sectors  int64 // of 512 bytes
	Target   string
	Params   string
	Writable bool
	Secret   bool // the kernel wipes its copy of Params after use
}

// A command is the number of an ioctl in dm-ioctl.h.
type command uintptr

const (
	devCreate  command = 3
	devRemove  command = 4
	devSuspend command = 6 // without the suspend flag it resumes: the loaded table goes live
	tableLoad  command = 9
)

// Sizes and offsets in struct dm_ioctl and struct dm_target_spec.
const (
	headerSize = 312
	specSize   = 40
	nameSize   = 128 // with a final NUL
	uuidSize   = 129 // with a final NUL

	offDataSize    = 12
	offDataStart   = 16
	offTargetCount = 20
	offFlags       = 28
	offDev         = 40
	offName        = 48
	offUUID        = offName + nameSize
)

// Flags of struct dm_ioctl.
const (
	flagReadOnly   = 1 << 0
	flagSecureData = 1 << 15
)

// flags of the requests about a device with this table, which may be nil.
func (t *Table) flags() (f uint32) {
	if t == nil || !t.Writable {
		f |= flagReadOnly
	}
	if t != nil && t.Secret {
		f |= flagSecureData
	}
	return f
}

// request encodes struct dm_ioctl, with the target of table after it when
// table is not nil. Strings after a target are NUL-terminated and padded to
// eight bytes.
func request(name, uuid string, table *Table) ([]byte, error) {
	if len(name) >= nameSize || len(uuid) >= uuidSize {
		return nil, fmt.Errorf("device-mapper name %q or UUID %q is too long", name, uuid)
	}
	size := headerSize
	if table != nil {
		size += specSize + (len(table.Params)/8+1)*8
	}
	b := make([]byte, size)
	le := binary.LittleEndian
	le.PutUint32(b[0:], 4) // interface version 4.0.0
	le.PutUint32(b[offDataSize:], uint32(size))
	le.PutUint32(b[offDataStart:], headerSize)
	le.PutUint32(b[offFlags:], table.flags())
	copy(b[offName:], name)
	copy(b[offUUID:], uuid)
	if table != nil {
		le.PutUint32(b[offTargetCount:], 1)
		spec := b[headerSize:]
		le.PutUint64(spec[8:], uint64(table.Sectors))
		copy(spec[24:40], table.Target)
		copy(spec[specSize:], table.Params)
	}
	return b, nil
}

// ioctlNumber is _IOWR(0xfd, c, struct dm_ioctl).
func (c command) ioctlNumber() uintptr { return 3<<30 | headerSize<<16 | 0xfd<<8 | uintptr(c) }

// Create makes a device from table and returns its path, /dev/dm-N. The
// device gets the name name; uuid may be empty. If the kernel refuses the table,
// the device is removed again.
func Create(name, uuid string, table Table) (path string, err error) {
	control, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("making device %s (is the module dm_mod loaded?): %w", name, err)
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	if _, err := call(control, devCreate, name, uuid, nil); err != nil {
		return "", fmt.Errorf("making device %s: %w", name, err)
	}
	minor, err := activate(control, name, table)
	if err != nil {
		_, removeErr := call(control, devRemove, name, "", nil)
		return "", errors.Join(err, removeErr)
	}
	return fmt.Sprintf("/dev/dm-%d", minor), nil
}

func activate(control *os.File, name string, table Table) (minor uint32, err error) {
	if _, err := call(control, tableLoad, name, "", &table); err != nil {
		return 0, fmt.Errorf("loading the %s table of device %s (the kernel's log says what it refused): %w", table.Target, name, err)
	}
	dev, err := call(control, devSuspend, name, "", nil)
	if err != nil {
		return 0, fmt.Errorf("activating device %s: %w", name, err)
	}
	return unix.Minor(dev), nil
}

// call sends one ioctl and returns the device number that the kernel fills in.
func call(control *os.File, c command, name, uuid string, table *Table) (dev uint64, err error) {
	b, err := request(name, uuid, table)
	if err != nil {
		return 0, err
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), c.ioctlNumber(), uintptr(unsafe.Pointer(&b[0])))
	if errno != 0 {
		return 0, errno
	}
	// The kernel encodes the number with huge_encode_dev, which unix.Minor can
	// read.
	return binary.LittleEndian.Uint64(b[offDev:]), nil
}
