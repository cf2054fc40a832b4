// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"io/fs"
	"syscall"
)

// Attributes are the mode and the owner of a file.
type Attributes struct {
	Mode     fs.FileMode // as in fs.FileInfo, with the type
	UID, GID int
}

// A Ledger has the attributes of files that were unpacked without root, and so
// could not get them on disk. Its keys are inode numbers. A file that is not in it
// belongs to root and has its mode on disk.
type Ledger map[uint64]Attributes

// Info returns info with the attributes from the ledger, if there is one.
func (r Root) Info(info fs.FileInfo) fs.FileInfo {
	st, ok := info.Sys().(*syscall.Stat_t)
	if r.Ledger == nil || !ok {
		return info
	}
	a, known := r.Ledger[st.Ino]
	if !known {
		a.Mode = info.Mode()
	}
	own := *st
	own.Uid, own.Gid = uint32(a.UID), uint32(a.GID)
	return listed{info, a.Mode, &own}
}

// listed is a file with attributes from a ledger.
type listed struct {
	fs.FileInfo
	mode fs.FileMode
	st   *syscall.Stat_t
}

func (l listed) Mode() fs.FileMode { return l.mode }
func (l listed) Sys() any          { return l.st }

// CheckWritable returns an error with syscall.EROFS for a path that Writable denies.
func (r Root) CheckWritable(path string) error {
	if r.Writable == nil {
		return nil
	}
	p, err := r.find(path, false)
	if err != nil {
		return err
	}
	defer p.close()
	return r.writable(path, p)
}

func (r Root) writable(path string, p *trail) error {
	if r.Writable != nil && !r.Writable(p.real()) {
		return &fs.PathError{Op: "write", Path: path, Err: syscall.EROFS}
	}
	return nil
}
