// SPDX-License-Identifier: Apache-2.0

// Package tree reads and writes the files of a root directory, which is / on
// a node and a temporary directory in tests. Paths are absolute inside the root; no
// symbolic link leads out of it. Files are replaced as a whole, by rename; after a
// power cut, a file is either the old or the new one.
//
// # Users work beside us
//
// The agent is root and works below directories of users. Users can rename entries
// there, or put a link or a named pipe into their place, at any time. So the
// package looks nothing up twice: it walks a path part by part, opens each
// directory from the one above it, and acts on names in an open directory (Dir) or
// on an open file. It sets owners and modes of open files only.
//
// Symbolic links are followed if no user can have made or moved them:
//
//	the link and its directory belong to root, and the directory is either
//	writable for root only or sticky, as /tmp is
//	        followed, inside the root
//	any other link
//	        not followed: an error names the user
//
// This is stricter than the kernel's protected_symlinks (see proc_sys_fs(5)),
// which has no rule for home directories. In the last place of a path, Read, Stat,
// Exists, List, Open, MakeAll, MakeDir, ParentOfTarget and WriteInPlace follow a
// link by the same rule. Replace and Remove replace or remove it.
//
// Only regular files are read, by framework/internal/regular, up to MaxFile.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
)

// MaxFile is the largest file that Read reads, in bytes.
const MaxFile = regular.MaxText

// Root is a root directory.
type Root struct {
	Dir string // host path
	// KeepOwner leaves owners alone, for tests that do not run as root.
	KeepOwner bool
	// Dry collects the changes in place of making them; nil: no dry run.
	Dry *DryRun
	// Ledger has the attributes of the files; nil: they are on disk.
	Ledger Ledger
	// Writable tells whether a path inside the root may change, for a copy of a
	// root that is partly read-only; nil: the file system decides.
	Writable func(path string) bool
}

// trustsAll tells whether every link may be followed: the process is not root, or a
// test sets KeepOwner. With a Ledger, the owners in it decide.
func (r Root) trustsAll() bool { return r.Ledger == nil && (r.KeepOwner || os.Geteuid() != 0) }

// File is what Replace writes.
type File struct {
	Data     []byte
	Mode     fs.FileMode // permission, setuid, setgid and sticky bits
	UID, GID int
}

// Owner returns the user and group of a file.
func Owner(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return int(st.Uid), int(st.Gid)
}

// Read returns the content of the file at path, of at most MaxFile bytes.
func (r Root) Read(path string) ([]byte, error) {
	if c, ok := r.Dry.change(path); ok && !c.Mode.IsDir() {
		if c.Removed {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return bytes.Clone(c.New), nil
	}
	var data []byte
	err := r.at(path, true, func(d *Dir, name string) (err error) {
		data, err = d.Read(name, MaxFile)
		return err
	})
	return data, err
}

// at calls use with the parent directory and the last part of path.
func (r Root) at(path string, follow bool, use func(d *Dir, name string) error) error {
	p, err := r.find(path, follow)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.missing(); err != nil {
		return inside(path, err)
	}
	return inside(path, use(p.dir(), p.name()))
}

// Stat describes path; a link is followed.
func (r Root) Stat(path string) (fs.FileInfo, error) { return r.describe(path, true) }

// Lstat describes path; a link in the last place is not followed.
func (r Root) Lstat(path string) (fs.FileInfo, error) { return r.describe(path, false) }

func (r Root) describe(path string, follow bool) (info fs.FileInfo, err error) {
	if c, ok := r.Dry.change(path); ok {
		return c.stat()
	}
	err = r.at(path, follow, func(d *Dir, name string) (err error) {
		info, err = d.Lstat(name)
		return err
	})
	return info, err
}

// Readlink returns the target of the link at path.
func (r Root) Readlink(path string) (target string, err error) {
	err = r.at(path, false, func(d *Dir, name string) (err error) {
		target, err = d.Readlink(name)
		return err
	})
	return target, err
}

// List describes the entries of the directory at path, sorted by name.
func (r Root) List(path string) (infos []fs.FileInfo, err error) {
	d, err := r.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.List()
}

// Exists tells whether path exists; a link is followed.
func (r Root) Exists(path string) bool {
	_, err := r.Stat(path)
	return err == nil
}

// Open opens the directory at path; a link is followed.
func (r Root) Open(path string) (d *Dir, err error) {
	err = r.at(path, true, func(in *Dir, name string) (err error) {
		d, err = in.Open(name)
		return err
	})
	return d, err
}

// MakeAll opens the directory at path. It makes missing directories, as Replace
// does.
func (r Root) MakeAll(dir string) (*Dir, error) {
	p, err := r.find(dir, true)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if len(p.rest) > 0 {
		p.rest = append(p.rest, ".")
	}
	if err := p.makeOrOpen(); err != nil {
		return nil, inside(dir, err)
	}
	return p.dir().Open(".")
}

// makeOrOpen is make, but the first name may exist.
func (p *trail) makeOrOpen() error {
	if len(p.rest) > 1 {
		next, err := p.dir().Open(p.rest[0])
		if err == nil {
			p.dirs, p.rest = append(p.dirs, next), p.rest[1:]
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return p.make()
}

// Parent opens the parent directory of path. It makes missing directories, as
// Replace does. name is the last part of path, which is not followed.
func (r Root) Parent(path string) (d *Dir, name string, err error) { return r.parent(path, false) }

// OpenParent is Parent, but makes nothing.
func (r Root) OpenParent(path string) (d *Dir, name string, err error) {
	err = r.at(path, false, func(in *Dir, last string) (err error) {
		d, err = in.Open(".")
		name = last
		return err
	})
	return d, name, err
}

// ParentOfTarget is Parent, but follows a link in the last place too.
func (r Root) ParentOfTarget(path string) (d *Dir, name string, err error) {
	return r.parent(path, true)
}

func (r Root) parent(path string, follow bool) (d *Dir, name string, err error) {
	p, err := r.find(path, follow)
	if err != nil {
		return nil, "", err
	}
	defer p.close()
	if err := p.make(); err != nil {
		return nil, "", inside(path, err)
	}
	d, err = p.dir().Open(".")
	return d, p.name(), err
}

// inside gives an error the path of the caller.
func inside(path string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: pathErr.Op, Path: path, Err: pathErr.Err}
	}
	return err
}

// Replace makes path a regular file with the given content, mode and owner, and
// returns whether anything changed. A link at path is replaced, not followed.
// Missing directories are made with mode 0755 and the owner of the nearest existing
// directory.
func (r Root) Replace(path string, f File) (changed bool, err error) {
	p, err := r.find(path, false)
	if err != nil {
		return false, err
	}
	defer p.close()
	if same, err := r.already(path, p, f); err != nil || same {
		return false, inside(path, err)
	}
	if err := r.writable(path, p); err != nil {
		return false, err
	}
	if r.Dry != nil {
		r.Dry.Note(Change{Path: path, Old: r.old(path), New: f.Data, Mode: f.Mode, UID: f.UID, GID: f.GID})
		return true, nil
	}
	if err := p.make(); err != nil {
		return false, inside(path, err)
	}
	return true, inside(path, p.dir().Write(p.name(), f))
}

// already tells whether path equals f, in the dry run or on disk.
func (r Root) already(path string, p *trail, f File) (bool, error) {
	if c, ok := r.Dry.change(path); ok {
		return c.is(f, r.KeepOwner), nil
	}
	if p.missing() != nil {
		return false, nil
	}
	return p.dir().Is(p.name(), f)
}

// WriteInPlace writes data to an existing file that cannot be replaced by rename,
// such as those of /proc and /sys.
func (r Root) WriteInPlace(path string, data []byte) error {
	return r.at(path, true, func(d *Dir, name string) error {
		f, err := openAt(d.fd(), name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_TRUNC, 0)
		if err != nil {
			return d.wrong("open", name, err)
		}
		_, err = f.Write(data)
		return d.wrong("write", name, errors.Join(err, f.Close()))
	})
}

// OpenLock opens the file at path to lock it. It makes a missing file.
func (r Root) OpenLock(path string) (*os.File, error) {
	d, name, err := r.Parent(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := openAt(d.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	return f, d.wrong("open", name, err)
}

// Remove removes the file at path, and returns whether there was one.
func (r Root) Remove(path string) (changed bool, err error) {
	if r.Dry != nil {
		return r.wouldRemove(path)
	}
	err = r.at(path, false, (*Dir).Remove)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// old returns the content that a dry run would replace.
func (r Root) old(path string) []byte {
	data, err := r.Read(path)
	if err != nil {
		return nil
	}
	return data
}

func (r Root) wouldRemove(path string) (bool, error) {
	if _, err := r.Lstat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	if err := r.CheckWritable(path); err != nil {
		return false, err
	}
	r.Dry.Note(Change{Path: path, Old: r.old(path), Removed: true})
	return true, nil
}

// MakeDir makes path a directory with the given mode and owner, and returns whether
// anything changed. A link to a directory is followed. Missing parents are made as
// by Replace.
func (r Root) MakeDir(path string, f File) (changed bool, err error) {
	p, err := r.find(path, true)
	if err != nil {
		return false, err
	}
	defer p.close()
	info, err := r.lstatOrNoted(path, p)
	switch {
	case err == nil && !info.IsDir():
		return false, &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case err == nil && r.attributesAre(info, f):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, inside(path, err)
	}
	if err := r.writable(path, p); err != nil {
		return false, err
	}
	if r.Dry != nil {
		r.Dry.Note(Change{Path: path, Mode: f.Mode | fs.ModeDir, UID: f.UID, GID: f.GID})
		return true, nil
	}
	return true, inside(path, p.makeDir(f))
}

func (p *trail) makeDir(f File) error {
	if err := p.make(); err != nil {
		return err
	}
	d, err := p.dir().Mkdir(p.name(), f)
	if errors.Is(err, fs.ErrExist) {
		if d, err = p.dir().Open(p.name()); err == nil {
			err = d.Own(f)
		}
	}
	if d != nil {
		d.Close()
	}
	return err
}

// SetAttributes gives the file at path a mode and an owner, and returns whether they
// changed. It leaves the data alone. It refuses a file with several names (hard
// links) in a directory where users can make them.
func (r Root) SetAttributes(path string, f File) (changed bool, err error) {
	p, err := r.find(path, false)
	if err != nil {
		return false, err
	}
	defer p.close()
	info, err := r.lstatOrNoted(path, p)
	switch {
	case err != nil:
		return false, inside(path, err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a regular file", path)
	case r.attributesAre(info, f):
		return false, nil
	}
	if err := r.writable(path, p); err != nil {
		return false, err
	}
	if r.Dry != nil {
		old := r.old(path)
		r.Dry.Note(Change{Path: path, Old: old, New: old, Mode: f.Mode, UID: f.UID, GID: f.GID})
		return true, nil
	}
	file, err := p.dir().OpenFile(p.name())
	if err != nil {
		return false, inside(path, err)
	}
	changed, err = p.dir().SetAttributes(file, f)
	return changed, inside(path, errors.Join(err, file.Close()))
}

// lstatOrNoted describes path in the dry run, or else on disk.
func (r Root) lstatOrNoted(path string, p *trail) (fs.FileInfo, error) {
	if c, ok := r.Dry.change(path); ok {
		return c.stat()
	}
	if err := p.missing(); err != nil {
		return nil, err
	}
	return p.dir().Lstat(p.name())
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
