// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attach makes a block device of a part of a file: size bytes from offset, or the rest of
// it if size is 0. Writes to it bypass the page cache of the file. The kernel detaches
// the device when its last user closes it, so none outlasts this program, however it
// ends (loop(4), LO_FLAGS_AUTOCLEAR).
func attach(path string, offset, size int64) (dev *os.File, err error) {
	backing, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, backing.Close()) }()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("asking for a loop device: %w; load the module: `modprobe loop`", err)
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	config := loopConfig(backing, offset, size)
	for range 10 { // another program may take the free device
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		if dev, err = configure(fmt.Sprintf("/dev/loop%d", n), config); !errors.Is(err, unix.EBUSY) {
			return dev, err
		}
	}
	return nil, errors.New("other programs take every loop device that is free: end them, and run the benchmark again")
}

func loopConfig(backing *os.File, offset, size int64) *unix.LoopConfig {
	return &unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{
		Offset: uint64(offset), Sizelimit: uint64(size), Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO,
	}}
}

func configure(path string, config *unix.LoopConfig) (*os.File, error) {
	dev, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), config); err != nil {
		return nil, errors.Join(fmt.Errorf("making %s a device: %w", path, err), dev.Close())
	}
	return dev, nil
}
