// SPDX-License-Identifier: Apache-2.0

// Package regular reads regular files up to a limit, and refuses all others: opening
// a named pipe waits for its other end, opening a device may have effects, and a
// file of any size may fill the memory. Root uses it to read files in users'
// directories.
//
// It also refuses a path that ends in a symbolic link, which may lead anywhere. An
// open never waits: neither for a pipe nor for a lease (see fcntl(2)) of the file's
// owner.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// MaxText is a limit, in bytes, for files that are read as a whole and have no
// lower one.
const MaxText = 32 << 20

// Errors that callers tell apart.
var (
	// ErrKind is wrapped by errors about files that are not regular.
	ErrKind = errors.New("not a regular file")
	// ErrTooLarge is wrapped by errors about files above the limit.
	ErrTooLarge = errors.New("too large")
)

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) { return OpenAt(unix.AT_FDCWD, path) }

// OpenAt opens a regular file for reading. The name is relative to the directory
// with the descriptor dir.
func OpenAt(dir int, name string) (*os.File, error) {
	fail := func(err error) (*os.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail(err)
	}
	if err := check(st.Mode); err != nil { // before the open, which a device would notice
		return fail(err)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return fail(check(unix.S_IFLNK))
	case errors.Is(err, unix.EWOULDBLOCK):
		return fail(errors.New("another program holds a lease on it"))
	case err != nil:
		return fail(err)
	}
	if err = unix.Fstat(fd, &st); err == nil {
		err = check(st.Mode) // of the open file: the name may have changed hands
	}
	if err == nil {
		err = unix.SetNonblock(fd, false) // regular files do not wait
	}
	if err != nil {
		return fail(errors.Join(err, unix.Close(fd)))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func check(mode uint32) error {
	kinds := map[uint32]string{
		unix.S_IFDIR: "a directory", unix.S_IFLNK: "a symbolic link", unix.S_IFIFO: "a named pipe",
		unix.S_IFSOCK: "a socket", unix.S_IFBLK: "a device", unix.S_IFCHR: "a device",
	}
	switch kind := mode & unix.S_IFMT; kind {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return fmt.Errorf("%w: %w", ErrKind, unix.EISDIR)
	default:
		return fmt.Errorf("it is %s, %w", kinds[kind], ErrKind)
	}
}

// Content reads an open file to its end. More than limit bytes are an error. It does
// not rely on the file's size, which is 0 for files in /proc.
func Content(f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: it has more than %s, the most that is read of it", ErrTooLarge, inWords(limit))
	}
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, pathErr
		}
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return data, nil
}

// Read returns the content of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) { return ReadAt(unix.AT_FDCWD, path, limit) }

// ReadAt is Read for a name relative to the directory with the descriptor dir.
func ReadAt(dir int, name string, limit int64) (data []byte, err error) {
	f, err := OpenAt(dir, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err == nil && info.Size() > limit { // without reading it first
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: it has %d bytes, more than %s, the most that is read of it", ErrTooLarge, info.Size(), inWords(limit))}
	}
	return Content(f, limit)
}

func inWords(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
