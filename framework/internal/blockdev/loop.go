// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// loopControl makes loop devices; the module loop brings it.
const loopControl = "/dev/loop-control"

// AttachLoop makes a read-only loop device over a file, and returns its path. The device
// stays until the machine goes down. It needs Linux 5.8.
func AttachLoop(file string) (path string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("making a loop device: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("making a loop device (is the module loop loaded?): %w", err)
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Errorf("making a loop device: %w", err)
	}
	path = fmt.Sprintf("/dev/loop%d", number)
	return path, configureLoop(path, f)
}

func configureLoop(path string, f *os.File) (err error) {
	loop, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("making a loop device: %w", err)
	}
	defer func() { err = errors.Join(err, loop.Close()) }()
	config := unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], f.Name())
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		return fmt.Errorf("making the loop device %s of %s: %w", path, f.Name(), err)
	}
	return nil
}
