// SPDX-License-Identifier: Apache-2.0

// Package durable puts files in their places. At every moment a reader sees the
// old file or the new one, whole; Write and Commit keep that through a power
// cut, too: the content is flushed before the file gets its name, and the name
// before they return.
//
// A file has no name until it is complete, so that a program that is killed
// leaves nothing behind. Where the file system has no such files (O_TMPFILE) it
// has a temporary name. Everything goes through an open directory, which stays
// the same one, whoever renames it.
//
// The order is: flush the content, link it to a temporary name, rename that,
// flush the directory. github.com/google/renameio leaves the last step out, by
// decision, and knows no open directories; it is why this is here.
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

// WriteCache is Write for what can be made again and is checked when it is read:
// nothing is flushed. It makes the directory if there is none.
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

// Rename moves a file or a directory, whose content is flushed, and makes its
// new name last.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir makes the names in a directory last.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A File is one that is being written. Commit or Publish put it in its place, or
// Discard throws it away; each of them closes it.
type File struct {
	*os.File
	dir   *os.File
	owned bool   // dir is closed with the file
	name  string // in dir
	temp  string // its name for the time being, or empty
}

// New begins the file of a path.
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

// NewAt begins the file name of an open directory, which may be open as O_PATH
// and has to stay open.
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

// inProc is the name by which an open file is linked. A chroot may have no /proc.
func inProc(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// beginNamed is begin for a file system that has no files without a name, and for a
// place where they cannot get one.
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

// A step is one of those that the order of the package's description has.
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
