// SPDX-License-Identifier: Apache-2.0

// Package mount makes the mounts of a node: file systems, overlays and binds,
// and the switch from the initramfs to the real root. Its errors name source and
// target.
package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Flags of mounts, as in mount(2).
const (
	ReadOnly = unix.MS_RDONLY
	NoDev    = unix.MS_NODEV
	NoExec   = unix.MS_NOEXEC
	NoSUID   = unix.MS_NOSUID
	NoAtime  = unix.MS_NOATIME
)

// FS mounts a file system. options are those of the file system itself, separated
// by commas, as in mount(8).
func FS(fstype, source, target string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, fstype, flags, options); err != nil {
		return fmt.Errorf("mounting %s (%s) at %s: %w", source, fstype, target, err)
	}
	return nil
}

// MakeFS makes the directory target if it is missing, with mode 0755, and mounts a
// file system there.
func MakeFS(fstype, source, target string, flags uintptr, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("mounting %s (%s): %w", source, fstype, err)
	}
	return FS(fstype, source, target, flags, options)
}

// Bind makes the directory or file source visible at target too.
func Bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", source, target, err)
	}
	return nil
}

// Move moves the mount at source to target.
func Move(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the mount %s to %s: %w", source, target, err)
	}
	return nil
}

// Unmount unmounts target.
func Unmount(target string) error {
	if err := unix.Unmount(target, 0); err != nil {
		return fmt.Errorf("unmounting %s: %w", target, err)
	}
	return nil
}

// Overlay makes dir writable: writes go to store, a directory on a writable file
// system, which gets the folders upper and work. The top of the overlay has the
// owner and the mode of dir.
func Overlay(dir, store string) error {
	upper, work := filepath.Join(store, "upper"), filepath.Join(store, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("making %s writable: %w", dir, err)
		}
	}
	if err := copyOwner(dir, upper); err != nil {
		return fmt.Errorf("making %s writable: %w", dir, err)
	}
	return FS("overlay", "overlay", dir, 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work))
}

func copyOwner(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return fmt.Errorf("reading the mode of %s: %w", from, err)
	}
	return errors.Join(
		os.Chown(to, int(st.Uid), int(st.Gid)),
		unix.Chmod(to, st.Mode&0o7777),
	)
}
