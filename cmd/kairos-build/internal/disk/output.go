// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// An output is a file that has no name until it is complete, so that a process
// that is killed leaves nothing behind. File systems that have no such files
// (O_TMPFILE) get a temporary name.
type output struct {
	path string
	file *os.File
	temp string // its name, or empty
}

// create makes an empty file of size bytes, all of them a hole.
func create(path string, size int64) (*output, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	o, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := o.file.Truncate(size); err != nil {
		return nil, errors.Join(err, o.discard())
	}
	return o, nil
}

// checkPath refuses to put a file in the place of something else.
func checkPath(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("there is something that is not a file (%s): remove it, or choose another name", info.Mode().Type())
	}
	return nil
}

func open(path string) (*output, error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
	if err == nil {
		return &output{path: path, file: os.NewFile(uintptr(fd), path)}, nil
	}
	temp := tempName(path)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, err
	}
	return &output{path: path, file: f, temp: temp}, nil
}

func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.Itoa(os.Getpid())+".tmp")
}

// publish gives the file its name.
func (o *output) publish() error {
	if o.temp == "" {
		temp := tempName(o.path)
		if err := o.link(temp); err != nil {
			return err
		}
		o.temp = temp
	}
	if err := o.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(o.temp, o.path); err != nil {
		return err
	}
	o.temp = ""
	return nil
}

// link names a file without a name. A leftover under that name is of a process
// that had our number and died.
func (o *output) link(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	self := "/proc/self/fd/" + strconv.Itoa(int(o.file.Fd()))
	if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "linkat", Old: self, New: name, Err: err}
	}
	return nil
}

// discard throws the file away. An error of an earlier Close does not matter.
func (o *output) discard() error {
	err := o.file.Close()
	if errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	if o.temp == "" {
		return err
	}
	return errors.Join(err, os.Remove(o.temp))
}
