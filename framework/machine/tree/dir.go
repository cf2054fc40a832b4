// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A Dir is an open directory of a Root. It stays the same directory even if a user
// renames it or puts a link in its place. Names are single parts of a path, and no
// link is followed. The caller must close it.
type Dir struct {
	r    Root
	f    *os.File // O_PATH
	path string   // inside the root, for errors
}

// openDir opens a directory for walking only, which works without the permission
// to read.
func openDir(at int, name string) (*os.File, error) {
	return openAt(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// openPath opens name, whatever it is, even a link, without any effect on it.
func openPath(at int, name string) (*os.File, error) {
	return openAt(at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

func openAt(at int, name string, flags int, mode uint32) (*os.File, error) {
	if at == unix.AT_FDCWD {
		flags &^= unix.O_NOFOLLOW // root chose the root directory
	}
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

func readlink(at int, name, shown string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(at, name, buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: shown, Err: err}
	}
	return string(buf[:n]), nil
}

func (d *Dir) fd() int { return int(d.f.Fd()) }

// Close closes the directory. It cannot lose data: Sync flushes new names.
func (d *Dir) Close() { _ = d.f.Close() }

// OpenSelf opens the directory itself, to lock or flush it.
func (d *Dir) OpenSelf() (*os.File, error) {
	f, err := openAt(d.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return f, d.wrong("open", ".", err)
}

// OpenRoot returns the directory as an os.Root, which no link leaves. It outlives d.
func (d *Dir) OpenRoot() (*os.Root, error) {
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", d.fd()))
}

// wrong makes err an error about a name.
func (d *Dir) wrong(op, name string, err error) error {
	full := path.Join(d.path, name)
	pathErr, ok := errors.AsType[*fs.PathError](err)
	switch {
	case err == nil || ok && pathErr.Path == full:
		return err
	case ok && (pathErr.Path == name || pathErr.Path == d.f.Name()):
		op, err = pathErr.Op, pathErr.Err
	}
	return &fs.PathError{Op: op, Path: full, Err: err}
}

// single refuses a name that is not a single part of a path.
func single(name string) error {
	if name == "" || name == ".." || strings.Contains(name, "/") {
		return fmt.Errorf("BUG: %q is no single name", name)
	}
	return nil
}

// Open opens the directory name.
func (d *Dir) Open(name string) (*Dir, error) {
	if err := single(name); err != nil {
		return nil, err
	}
	f, err := openDir(d.fd(), name)
	if err != nil {
		return nil, d.wrong("open", name, err)
	}
	return &Dir{r: d.r, f: f, path: path.Join(d.path, name)}, nil
}

// Stat describes the directory.
func (d *Dir) Stat() (fs.FileInfo, error) {
	info, err := d.f.Stat()
	if err != nil {
		return nil, d.wrong("stat", ".", err)
	}
	return d.r.Info(info), nil
}

// Lstat describes name; a link is not followed.
func (d *Dir) Lstat(name string) (info fs.FileInfo, err error) {
	if err := single(name); err != nil {
		return nil, err
	}
	f, err := openPath(d.fd(), name)
	if err != nil {
		return nil, d.wrong("lstat", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err = f.Stat(); err != nil {
		return nil, d.wrong("lstat", name, err)
	}
	return d.r.Info(info), nil
}

// Readlink returns the target of the link name.
func (d *Dir) Readlink(name string) (string, error) {
	return readlink(d.fd(), name, path.Join(d.path, name))
}

// Read returns the content of the regular file name, of at most limit bytes.
func (d *Dir) Read(name string, limit int64) ([]byte, error) {
	if err := single(name); err != nil {
		return nil, err
	}
	data, err := regular.ReadAt(d.fd(), name, limit)
	return data, d.wrong("read", name, err)
}

// OpenFile opens the regular file name for reading.
func (d *Dir) OpenFile(name string) (*os.File, error) {
	if err := single(name); err != nil {
		return nil, err
	}
	f, err := regular.OpenAt(d.fd(), name)
	return f, d.wrong("open", name, err)
}

// List describes the entries of the directory, sorted by name.
func (d *Dir) List() (infos []fs.FileInfo, err error) {
	f, err := d.OpenSelf()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, d.wrong("readdir", ".", err)
	}
	slices.Sort(names)
	for _, name := range names {
		info, err := d.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone by now
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Sync makes the names in the directory durable.
func (d *Dir) Sync() error {
	f, err := d.OpenSelf()
	if err != nil {
		return err
	}
	return errors.Join(d.wrong("sync", ".", f.Sync()), f.Close())
}

// Mkdir makes the directory name with a mode and an owner. It must not exist.
func (d *Dir) Mkdir(name string, f File) (*Dir, error) {
	if err := single(name); err != nil {
		return nil, err
	}
	if err := unix.Mkdirat(d.fd(), name, 0o700); err != nil {
		return nil, d.wrong("mkdir", name, err)
	}
	made, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	if err = made.isNew(); err == nil {
		err = made.Own(f)
	}
	if err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

// isNew returns an error if the directory is not as Mkdir made it: the owner of the
// parent directory could put another directory of root into its place.
func (d *Dir) isNew() error {
	info, err := d.f.Stat()
	if err != nil {
		return d.wrong("stat", ".", err)
	}
	list, err := d.List()
	if uid, _ := Owner(info); err == nil && (uid != os.Geteuid() || info.Mode().Perm()&0o077 != 0 || len(list) > 0) {
		err = fmt.Errorf("%s was replaced while it was made", d.path)
	}
	return err
}

// makeLikeParent makes a missing directory, see trail.make. Another process may
// make it at the same time.
func (d *Dir) makeLikeParent(name string) (*Dir, error) {
	info, err := d.Stat()
	if err != nil {
		return nil, err
	}
	f := File{Mode: 0o755}
	f.UID, f.GID = Owner(info)
	made, err := d.Mkdir(name, f)
	if errors.Is(err, fs.ErrExist) {
		return d.Open(name)
	}
	return made, err
}

// Own gives the directory an owner and a mode.
func (d *Dir) Own(f File) error {
	opened, err := d.OpenSelf()
	if err != nil {
		return err
	}
	return errors.Join(d.wrong("chown", ".", d.r.own(opened, f)), opened.Close())
}

// own gives an open file an owner and then a mode, because chown clears setuid.
func (r Root) own(file *os.File, f File) error {
	if !r.KeepOwner {
		if err := file.Chown(f.UID, f.GID); err != nil {
			return err
		}
	}
	return file.Chmod(f.Mode)
}

// Symlink makes name a link to target, by rename, in place of an existing file or
// link. A directory at name is an error.
func (d *Dir) Symlink(target, name string) error {
	if err := single(name); err != nil {
		return err
	}
	next := temporary()
	if err := unix.Symlinkat(target, d.fd(), next); err != nil {
		return d.wrong("symlink", name, err)
	}
	if err := d.Rename(next, name); err != nil {
		return errors.Join(err, d.Remove(next))
	}
	return d.Sync()
}

// SymlinkNew makes name a link to target with an owner. It must not exist.
func (d *Dir) SymlinkNew(target, name string, uid, gid int) error {
	err := unix.Symlinkat(target, d.fd(), name)
	if err == nil && !d.r.KeepOwner {
		err = unix.Fchownat(d.fd(), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	return d.wrong("symlink", name, err)
}

// Rename gives the file or directory from the name to.
func (d *Dir) Rename(from, to string) error {
	if err := errors.Join(single(from), single(to)); err != nil {
		return err
	}
	return d.wrong("rename", to, unix.Renameat(d.fd(), from, d.fd(), to))
}

// Remove removes a file or an empty directory.
func (d *Dir) Remove(name string) error {
	if err := single(name); err != nil {
		return err
	}
	err := unix.Unlinkat(d.fd(), name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR)
	}
	return d.wrong("remove", name, err)
}

// RemoveAll removes name and everything below it. It may be missing.
func (d *Dir) RemoveAll(name string) (err error) {
	if err := single(name); err != nil {
		return err
	}
	if _, err := d.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	root, err := d.OpenRoot()
	if err != nil {
		return d.wrong("open", ".", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return d.wrong("remove", name, root.RemoveAll(name))
}

func temporary() string { return ".kairos-" + rand.Text() }

// A NewFile is a file that has no name yet. Commit makes it visible as a whole.
type NewFile struct {
	*durable.File
	dir  *Dir
	name string
}

// Create begins the file name. The caller must call Commit or Discard.
func (d *Dir) Create(name string) (*NewFile, error) {
	if err := single(name); err != nil {
		return nil, err
	}
	f, err := durable.NewAt(d.f, name, 0o600)
	if err != nil {
		return nil, d.wrong("create", name, err)
	}
	return &NewFile{f, d, name}, nil
}

// Commit gives the file a mode and an owner and puts it in its place. When Commit
// returns, the file is on the medium.
func (n *NewFile) Commit(f File) error {
	if err := n.dir.r.own(n.File.File, f); err != nil {
		return errors.Join(n.dir.wrong("write", n.name, err), n.Discard())
	}
	return n.dir.wrong("write", n.name, n.File.Commit())
}

// Write makes name a regular file, in place of an existing file or link.
func (d *Dir) Write(name string, f File) error {
	next, err := d.Create(name)
	if err != nil {
		return err
	}
	if _, err := next.Write(f.Data); err != nil {
		return errors.Join(d.wrong("write", name, err), next.Discard())
	}
	return next.Commit(f)
}

// Is tells whether name is a regular file with the content and attributes of f. A
// directory is an error.
func (d *Dir) Is(name string, f File) (bool, error) {
	info, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return false, d.wrong("replace", name, unix.EISDIR)
	}
	if !d.r.attributesAre(info, f) || !info.Mode().IsRegular() || info.Size() != int64(len(f.Data)) {
		return false, nil
	}
	have, err := d.Read(name, info.Size())
	if errors.Is(err, regular.ErrKind) || errors.Is(err, regular.ErrTooLarge) || errors.Is(err, fs.ErrNotExist) {
		return false, nil // it changed since Lstat
	}
	return err == nil && string(have) == string(f.Data), err
}

// attributesAre tells whether permission bits and owner equal those of f.
func (r Root) attributesAre(info fs.FileInfo, f File) bool {
	uid, gid := Owner(info)
	return info.Mode()&^fs.ModeType == f.Mode&^fs.ModeType && (r.KeepOwner || uid == f.UID && gid == f.GID)
}

// SetAttributes gives an open file of the directory a mode and an owner, and returns
// whether they changed. It refuses a file with several names (hard links) in a
// directory where users can make them.
func (d *Dir) SetAttributes(file *os.File, f File) (changed bool, err error) {
	info, err := file.Stat()
	if err != nil {
		return false, d.wrong("stat", file.Name(), err)
	}
	if d.r.attributesAre(d.r.Info(info), f) {
		return false, nil
	}
	dir, err := d.Stat()
	if err != nil {
		return false, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 && !d.r.trustsAll() && changers(dir, false) != "" {
		return false, fmt.Errorf("%s has other names too, which would get its owner: remove it", path.Join(d.path, file.Name()))
	}
	return true, d.wrong("chown", file.Name(), d.r.own(file, f))
}
