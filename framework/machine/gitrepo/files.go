// SPDX-License-Identifier: Apache-2.0

package gitrepo

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/helper/chroot"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
)

// files implements go-git's file system for one directory. go-git's own
// implementation follows links out of the directory; this one stays inside, and
// does not block on a named pipe.
type files struct {
	root *os.Root
	next atomic.Int64 // number in temporary names
}

var _ billy.Filesystem = (*files)(nil)

// inner turns a name of go-git into a name for os.Root.
func inner(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// Create implements billy.Basic.
func (f *files) Create(name string) (billy.File, error) {
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open implements billy.Basic.
func (f *files) Open(name string) (billy.File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile implements billy.Basic. It creates the parent directories of a new file.
func (f *files) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	if flag&os.O_CREATE != 0 {
		if err := f.root.MkdirAll(path.Dir(inner(name)), 0o755); err != nil {
			return nil, err
		}
		flag |= unix.O_NOFOLLOW
	}
	opened, err := f.root.OpenFile(inner(name), flag|unix.O_NONBLOCK, perm&0o777)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%s: %w", name, regular.ErrKind)
	}
	if err != nil {
		_ = opened.Close() // nothing was written
		return nil, err
	}
	return file{opened, name}, nil
}

// Stat implements billy.Basic.
func (f *files) Stat(name string) (os.FileInfo, error) { return f.root.Stat(inner(name)) }

// Rename implements billy.Basic.
func (f *files) Rename(from, to string) error {
	if err := f.root.MkdirAll(path.Dir(inner(to)), 0o755); err != nil {
		return err
	}
	return f.root.Rename(inner(from), inner(to))
}

// Remove implements billy.Basic.
func (f *files) Remove(name string) error { return f.root.Remove(inner(name)) }

// Join implements billy.Basic.
func (f *files) Join(names ...string) string { return path.Join(names...) }

// TempFile implements billy.TempFile.
func (f *files) TempFile(dir, prefix string) (billy.File, error) {
	name := path.Join(dir, fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), f.next.Add(1)))
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// ReadDir implements billy.Dir.
func (f *files) ReadDir(name string) ([]os.FileInfo, error) {
	entries, err := fs.ReadDir(f.root.FS(), inner(name))
	if err != nil {
		return nil, err
	}
	infos := make([]os.FileInfo, len(entries))
	for i, e := range entries {
		if infos[i], err = e.Info(); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// MkdirAll implements billy.Dir.
func (f *files) MkdirAll(name string, perm os.FileMode) error {
	return f.root.MkdirAll(inner(name), perm&0o777)
}

// Lstat implements billy.Symlink.
func (f *files) Lstat(name string) (os.FileInfo, error) { return f.root.Lstat(inner(name)) }

// Symlink implements billy.Symlink.
func (f *files) Symlink(target, name string) error {
	if err := f.root.MkdirAll(path.Dir(inner(name)), 0o755); err != nil {
		return err
	}
	return f.root.Symlink(target, inner(name))
}

// Readlink implements billy.Symlink.
func (f *files) Readlink(name string) (string, error) { return f.root.Readlink(inner(name)) }

// Chroot implements billy.Chroot.
func (f *files) Chroot(name string) (billy.Filesystem, error) {
	return chroot.New(f, path.Join("/", name)), nil
}

// Root implements billy.Chroot.
func (f *files) Root() string { return "/" }

// file is an open file.
type file struct {
	*os.File
	name string
}

// Name is the name that the file was opened by.
func (f file) Name() string { return f.name }

// Lock implements billy.File.
func (f file) Lock() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }

// Unlock implements billy.File.
func (f file) Unlock() error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
