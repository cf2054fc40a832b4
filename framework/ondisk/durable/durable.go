// SPDX-License-Identifier: Apache-2.0

// Package durable replaces files atomically. At every moment a reader sees the old
// file or the new one, whole. Write and Commit guarantee that after a power cut,
// too: they flush the content before the file gets its name, and the name before
// they return.
//
// A file has no name until it is complete, so that a killed program leaves nothing
// behind. Where the file system does not support that (O_TMPFILE), or /proc is
// missing, the file has a temporary name. All steps use an open directory, so a
// rename of the directory does not matter.
//
// The order is: flush the content, link it to a temporary name, rename that,
// flush the directory. github.com/google/renameio leaves the last step out on
// purpose, and does not support open directories; hence this package.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Write puts data in the place of the file at path. The mode is subject to the
// umask.
func Write(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, (*File).Commit)
}

// WriteCache is Write without a flush, for a file that can be made again and is
// checked when it is read. It makes the directory if there is none.
func WriteCache(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return write(path, data, mode, (*File).Publish)
}

func write(path string, data []byte, mode fs.FileMode, end func(*File) error) error {
	f, err := New(path, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Discard())
	}
	return end(f)
}

// Rename moves a file or a directory, whose content is flushed already, and flushes
// its new name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir flushes the names in a directory.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A File is a file in the making. Commit or Publish puts it in its place, or Discard
// throws it away; each of them closes it.
type File struct {
	*os.File
	dir   *os.File
	owned bool   // dir is closed with the file
	name  string // in dir
	temp  string // temporary name, or empty
}

// New begins the file at path.
func New(path string, mode fs.FileMode) (*File, error) {
	parent := filepath.Dir(path)
	dir, err := openAt(unix.AT_FDCWD, parent, parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f, err := begin(dir, filepath.Base(path), path, mode)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	f.owned = true
	return f, nil
}

// NewAt begins the file name in an open directory, which may be open as O_PATH and
// has to stay open.
func NewAt(dir *os.File, name string, mode fs.FileMode) (*File, error) {
	return begin(dir, name, name, mode)
}

// begin makes the file, which is called shown in errors.
func begin(dir *os.File, name, shown string, mode fs.FileMode) (*File, error) {
	opened, err := openAt(int(dir.Fd()), ".", shown, unix.O_TMPFILE|unix.O_RDWR, mode)
	if err != nil {
		return beginNamed(dir, name, shown, mode)
	}
	if _, err := os.Lstat(inProc(opened)); err != nil {
		if err := opened.Close(); err != nil {
			return nil, err
		}
		return beginNamed(dir, name, shown, mode)
	}
	return &File{File: opened, dir: dir, name: name}, nil
}

// inProc returns the path by which link names an open file. A chroot may have no
// /proc.
func inProc(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// beginNamed is begin for a file system without O_TMPFILE, and for a chroot without
// /proc, where link cannot name such a file.
func beginNamed(dir *os.File, name, shown string, mode fs.FileMode) (*File, error) {
	temp := temporary()
	opened, err := openAt(int(dir.Fd()), temp, shown, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	return &File{File: opened, dir: dir, name: name, temp: temp}, nil
}

func temporary() string { return ".kairos-" + rand.Text() }

func openAt(at int, name, shown string, flags int, mode fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, uint32(mode.Perm()))
		if err == nil {
			return os.NewFile(uintptr(fd), shown), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, &fs.PathError{Op: "open", Path: shown, Err: err}
		}
	}
}

// Commit puts the file in its place. It is on the medium, with its name, when
// Commit returns.
func (f *File) Commit() error { return f.end(f.commitSteps()) }

// Publish puts the file in its place without flushing anything, as WriteCache
// does.
func (f *File) Publish() error { return f.end(f.publishSteps()) }

// A step is one step of the order in the package's description.
type step struct {
	what string
	do   func() error
}

func (f *File) commitSteps() []step {
	steps := append([]step{{"content", f.Sync}}, f.publishSteps()...)
	return append(steps, step{"names", f.syncDir})
}

func (f *File) publishSteps() []step {
	return []step{{"link", f.link}, {"close", f.Close}, {"rename", f.rename}}
}

func (f *File) end(steps []step) error {
	for _, s := range steps {
		if err := s.do(); err != nil {
			return errors.Join(err, f.Discard())
		}
	}
	return f.closeDir()
}

// link gives the file a temporary name if it has none.
func (f *File) link() error {
	if f.temp != "" {
		return nil
	}
	self, temp := inProc(f.File), temporary()
	if err := unix.Linkat(unix.AT_FDCWD, self, int(f.dir.Fd()), temp, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "linkat", Old: self, New: f.name, Err: err}
	}
	f.temp = temp
	return nil
}

func (f *File) rename() error {
	at := int(f.dir.Fd())
	if err := unix.Renameat(at, f.temp, at, f.name); err != nil {
		return &os.LinkError{Op: "rename", Old: f.temp, New: f.name, Err: err}
	}
	f.temp = ""
	return nil
}

func (f *File) syncDir() error {
	dir, err := openAt(int(f.dir.Fd()), ".", f.dir.Name(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Discard throws the file away. An error of an earlier Close does not matter.
func (f *File) Discard() error {
	err := f.Close()
	if errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	if f.temp != "" {
		err = errors.Join(err, unix.Unlinkat(int(f.dir.Fd()), f.temp, 0))
		f.temp = ""
	}
	return errors.Join(err, f.closeDir())
}

func (f *File) closeDir() error {
	if !f.owned {
		return nil
	}
	f.owned = false
	return f.dir.Close()
}
