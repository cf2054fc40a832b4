// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Enter makes root, a mount, the root of this process and of every other one. It
// moves the mounts in moved (such as /dev) there, and deletes the files of the
// initramfs, since they would take memory for ever, but for the directories in kept,
// which are bound elsewhere. The caller then executes the new init. After an error the
// old root may be gone.
// See Documentation/filesystems/ramfs-rootfs-initramfs.rst of the kernel.
func Enter(root string, moved, kept []string) error {
	for _, dir := range moved {
		if err := Move(dir, filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := empty("/", kept...); err != nil {
		return fmt.Errorf("deleting the initramfs: %w", err)
	}
	if err := Move(".", "/"); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	return os.Chdir("/")
}

// empty deletes the files and directories in dir on the same file system. It does
// not descend into mounts and the directories in kept, and leaves the directories that
// hold one.
func empty(dir string, kept ...string) error {
	device, err := deviceOf(dir)
	if err != nil {
		return err
	}
	return emptyOn(dir, device, kept...)
}

func emptyOn(dir string, device uint64, kept ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if slices.Contains(kept, path) {
			continue
		}
		if entry.IsDir() {
			if on, err := deviceOf(path); err != nil || on != device {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, emptyOn(path, device, kept...))
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func deviceOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, err
	}
	return st.Dev, nil
}
