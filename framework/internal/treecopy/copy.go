// SPDX-License-Identifier: Apache-2.0

// Package treecopy copies a directory so that the copy can replace the original:
// with contents, types, owners, modes, times and extended attributes. Hard links
// become copies.
package treecopy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
)

// Copy copies the file or directory from to the path to, which must not exist. After
// an error a partial copy stays. Nothing is flushed: that is up to the caller.
func Copy(from, to string) error { return copyNode(from, to, copyEntries) }

// One copies like Copy, but a directory without its entries.
func One(from, to string) error {
	return copyNode(from, to, func(string, string) error { return nil })
}

func copyNode(from, to string, entries func(from, to string) error) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	if err := create(from, to, &st); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := entries(from, to); err != nil {
			return err
		}
	}
	if err := copyAttributes(from, to, &st); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return nil
}

func copyEntries(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	for _, entry := range entries {
		if err := Copy(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func create(from, to string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return os.Mkdir(to, 0o700)
	case unix.S_IFREG:
		return copyData(from, to)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	return unix.Mknod(to, st.Mode, int(st.Rdev))
}

func copyData(from, to string) (err error) {
	in, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// copyAttributes sets the owner first, since chown clears set-user-ID and
// security.capability, and the times last.
func copyAttributes(from, to string, st *unix.Stat_t) error {
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return fmt.Errorf("setting the mode of %s: %w", to, err)
		}
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the times of %s: %w", to, err)
	}
	return nil
}

// copyXattrs copies the extended attributes that both file systems support. The
// kernel never lists those that overlayfs uses itself.
func copyXattrs(from, to string) error {
	names, err := listXattrs(from)
	if err != nil {
		return fmt.Errorf("listing extended attributes: %w", err)
	}
	for _, name := range names {
		value, err := getXattr(from, name)
		if err != nil {
			return fmt.Errorf("reading extended attribute %s: %w", name, err)
		}
		if err := unix.Lsetxattr(to, name, value, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("setting extended attribute %s: %w", name, err)
		}
	}
	return nil
}

func listXattrs(path string) ([]string, error) {
	size, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, size)
	if size, err = unix.Llistxattr(path, buf); err != nil {
		return nil, err
	}
	var names []string
	for name := range bytes.SplitSeq(bytes.TrimRight(buf[:size], "\x00"), []byte{0}) {
		names = append(names, string(name))
	}
	return names, nil
}

func getXattr(path, name string) ([]byte, error) {
	size, err := unix.Lgetxattr(path, name, nil)
	if err != nil || size == 0 {
		return nil, err
	}
	buf := make([]byte, size)
	size, err = unix.Lgetxattr(path, name, buf)
	return buf[:max(size, 0)], err
}
