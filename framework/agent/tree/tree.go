// SPDX-License-Identifier: Apache-2.0

// Package tree reads and writes the files of a root directory, which is / on
// a node and a temporary directory in tests. Paths are absolute as seen inside
// the root; no symbolic link leads out of it. Files are replaced as a whole,
// by rename, and survive a power cut as the old or the new one.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Root is a root directory.
type Root struct {
	Dir string // host path
	// KeepOwner leaves owners alone, for tests that do not run as root.
	KeepOwner bool
	// Dry collects what would change, and nothing does; nil: it changes.
	Dry *DryRun
	// Ledger has the attributes of the files; nil: they have them themselves.
	Ledger Ledger
	// Writable tells whether a path inside the root may change, for a copy of a
	// root that is read-only in other places; nil: the file system knows.
	Writable func(path string) bool
}

// File is what Replace writes.
type File struct {
	Data     []byte
	Mode     fs.FileMode // permission, setuid, setgid and sticky bits
	UID, GID int
}

const maxLinks = 40 // as the kernel, see path_resolution(7)

// Resolve returns the host path of path: links in its parents are followed
// inside the root, the last part is not. A link that belongs to anybody but
// root is refused, because users could lead root astray with it. Parts that do
// not exist are taken as they are.
func (r Root) Resolve(path string) (string, error) {
	todo := strings.Split(filepath.Clean("/"+path), "/")
	at, links := "/", 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		target, isLink, err := r.link(next)
		switch {
		case err != nil:
			return "", err
		case !isLink || len(todo) == 0:
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
		}
		if strings.HasPrefix(target, "/") {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return filepath.Join(r.Dir, at), nil
}

func (r Root) link(path string) (target string, ok bool, err error) {
	host := filepath.Join(r.Dir, path)
	info, err := r.Lstat(host)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return "", false, nil
	}
	if uid, _ := Owner(info); uid != 0 && !r.KeepOwner {
		return "", false, fmt.Errorf("%s is a symbolic link of user %d: only root's are followed", path, uid)
	}
	target, err = os.Readlink(host)
	return target, true, err
}

// Owner is the user and group of a file.
func Owner(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return int(st.Uid), int(st.Gid)
}

// Read returns the content of the file at path.
func (r Root) Read(path string) ([]byte, error) {
	if c, ok := r.Dry.change(path); ok && !c.Mode.IsDir() {
		if c.Removed {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return bytes.Clone(c.New), nil
	}
	host, err := r.follow(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(host)
	return data, inside(path, err)
}

// Stat describes what is at path; a link is followed.
func (r Root) Stat(path string) (fs.FileInfo, error) {
	if c, ok := r.Dry.change(path); ok {
		return c.stat()
	}
	host, err := r.follow(path)
	if err != nil {
		return nil, err
	}
	info, err := r.Lstat(host)
	return info, inside(path, err)
}

// Exists tells whether there is something at path.
func (r Root) Exists(path string) bool {
	_, err := r.Stat(path)
	return err == nil
}

// follow is Resolve, with the last part followed too.
func (r Root) follow(path string) (string, error) { return r.Resolve(path + "/.") }

// inside gives an error the path as it is inside the root.
func inside(path string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: pathErr.Op, Path: path, Err: pathErr.Err}
	}
	return err
}

// Replace makes path a regular file with the given content, mode and owner;
// it tells whether anything had to change. A link at path is replaced, not
// followed. Missing directories are made with mode 0755 and the owner of the
// nearest directory that exists.
func (r Root) Replace(path string, f File) (changed bool, err error) {
	host, err := r.Resolve(path)
	if err != nil {
		return false, err
	}
	if same, err := r.already(path, host, f); err != nil || same {
		return false, inside(path, err)
	}
	if err := r.CheckWritable(path); err != nil {
		return false, err
	}
	if r.Dry != nil {
		r.Dry.Note(Change{Path: path, Old: r.old(path), New: f.Data, Mode: f.Mode, UID: f.UID, GID: f.GID})
		return true, nil
	}
	if err := r.mkdirs(filepath.Dir(host)); err != nil {
		return false, inside(path, err)
	}
	return true, inside(path, r.write(host, f))
}

// already tells whether path is as f says, by the dry run or on disk.
func (r Root) already(path, host string, f File) (bool, error) {
	if c, ok := r.Dry.change(path); ok {
		return c.is(f, r.KeepOwner), nil
	}
	return r.same(host, f)
}

func (r Root) same(host string, f File) (bool, error) {
	info, err := r.Lstat(host)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return false, &fs.PathError{Op: "replace", Path: host, Err: syscall.EISDIR}
	}
	uid, gid := Owner(info)
	if !r.KeepOwner && (uid != f.UID || gid != f.GID) {
		return false, nil
	}
	if !info.Mode().IsRegular() || info.Mode() != f.Mode || info.Size() != int64(len(f.Data)) {
		return false, nil
	}
	have, err := os.ReadFile(host)
	return err == nil && bytes.Equal(have, f.Data), err
}

func (r Root) mkdirs(dir string) error {
	info, err := os.Lstat(dir)
	if err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := r.mkdirs(parent); err != nil {
		return err
	}
	above, err := os.Stat(parent)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // another one may make it at the same time
		return err
	}
	uid, gid := Owner(above)
	return errors.Join(os.Chmod(dir, 0o755), r.chown(dir, uid, gid))
}

func (r Root) chown(host string, uid, gid int) error {
	if r.KeepOwner {
		return nil
	}
	return os.Lchown(host, uid, gid)
}

// write makes a new file beside host and renames it.
func (r Root) write(host string, f File) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(host), ".kairos-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := errors.Join(r.fill(tmp, f), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), host); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(host))
}

// fill sets the owner before the mode, because chown clears setuid.
func (r Root) fill(tmp *os.File, f File) error {
	if _, err := tmp.Write(f.Data); err != nil {
		return err
	}
	if err := r.chown(tmp.Name(), f.UID, f.GID); err != nil {
		return err
	}
	if err := tmp.Chmod(f.Mode); err != nil {
		return err
	}
	return tmp.Sync()
}

// SyncDir makes the names in a directory durable.
func SyncDir(host string) error {
	d, err := os.Open(host)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remove removes the file at path; a missing one is fine.
func (r Root) Remove(path string) (changed bool, err error) {
	host, err := r.Resolve(path)
	if err != nil {
		return false, err
	}
	if r.Dry != nil {
		return r.wouldRemove(path, host)
	}
	err = os.Remove(host)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, inside(path, err)
}

// old is the content that a dry run would replace.
func (r Root) old(path string) []byte {
	data, err := r.Read(path)
	if err != nil {
		return nil
	}
	return data
}

func (r Root) wouldRemove(path, host string) (bool, error) {
	c, noted := r.Dry.change(path)
	if _, err := os.Lstat(host); noted && c.Removed || !noted && err != nil {
		return false, nil
	}
	if err := r.CheckWritable(path); err != nil {
		return false, err
	}
	r.Dry.Note(Change{Path: path, Old: r.old(path), Removed: true})
	return true, nil
}

// MakeDir makes path a directory with the given mode and owner; it tells
// whether anything had to change. A link to a directory is followed. Missing
// parents are made as by Replace.
func (r Root) MakeDir(path string, f File) (changed bool, err error) {
	host, err := r.follow(path)
	if err != nil {
		return false, err
	}
	info, err := r.lstatOrNoted(path, host)
	switch {
	case err == nil && !info.IsDir():
		return false, &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case err == nil && r.sameDir(info, f):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, inside(path, err)
	}
	if err := r.CheckWritable(path); err != nil {
		return false, err
	}
	if r.Dry != nil {
		r.Dry.Note(Change{Path: path, Mode: f.Mode | fs.ModeDir, UID: f.UID, GID: f.GID})
		return true, nil
	}
	return true, inside(path, errors.Join(r.mkdirs(host), r.chown(host, f.UID, f.GID), os.Chmod(host, f.Mode)))
}

// MakeParent makes the directory that path is in, as Replace does.
func (r Root) MakeParent(path string) (host string, err error) {
	if host, err = r.Resolve(path); err != nil {
		return "", err
	}
	return host, inside(path, r.mkdirs(filepath.Dir(host)))
}

// SetAttributes gives the file at path a mode and an owner; its data is left
// alone. It tells whether anything had to change.
func (r Root) SetAttributes(path string, f File) (changed bool, err error) {
	host, err := r.Resolve(path)
	if err != nil {
		return false, err
	}
	info, err := r.lstatOrNoted(path, host)
	if err != nil {
		return false, inside(path, err)
	}
	uid, gid := Owner(info)
	switch {
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a regular file", path)
	case info.Mode() == f.Mode && (r.KeepOwner || uid == f.UID && gid == f.GID):
		return false, nil
	}
	if err := r.CheckWritable(path); err != nil {
		return false, err
	}
	if r.Dry != nil {
		old := r.old(path)
		r.Dry.Note(Change{Path: path, Old: old, New: old, Mode: f.Mode, UID: f.UID, GID: f.GID})
		return true, nil
	}
	return true, inside(path, errors.Join(r.chown(host, f.UID, f.GID), os.Chmod(host, f.Mode)))
}

// lstatOrNoted describes path as the dry run has it, else what is at host.
func (r Root) lstatOrNoted(path, host string) (fs.FileInfo, error) {
	if c, ok := r.Dry.change(path); ok {
		return c.stat()
	}
	return r.Lstat(host)
}

func (r Root) sameDir(info fs.FileInfo, f File) bool {
	uid, gid := Owner(info)
	return info.Mode() == f.Mode|fs.ModeDir && (r.KeepOwner || uid == f.UID && gid == f.GID)
}

// Bits turns the mode of chmod(1) into a FileMode.
func Bits(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}
