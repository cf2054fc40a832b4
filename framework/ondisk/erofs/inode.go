// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// An inode is a node of the tree. Close gives it a place in the image.
type inode struct {
	mode     uint32
	uid, gid uint32
	mtime    int64
	nsec     uint32
	implicit bool   // a directory that was never added
	nlink    uint32 // number of names; for directories set by Close
	rdev     uint32
	block    uint32 // first data block, if there is one
	size     int64
	tail     []byte // inline data
	xattrs   []byte // as on disk
	entries  map[string]*inode
	parent   *inode // of a directory; nil for the root

	// Set by Close.
	ino    uint32 // position among all inodes, from 1; 0 until it is set
	offset int64  // in the metadata area, in bytes
	dir    *dirLayout
}

func newDir(parent *inode) *inode {
	return &inode{mode: ModeDir | 0o755, implicit: true, entries: map[string]*inode{}, parent: parent}
}

func (n *inode) isDir() bool { return n.mode&ModeType == ModeDir }

func newInode(e Entry) (*inode, error) {
	xattrs, err := encodeXattrs(e.Xattrs)
	if err != nil {
		return nil, err
	}
	n := &inode{mode: e.Mode, uid: e.UID, gid: e.GID, mtime: e.MTime, nsec: e.MTimeNsec, nlink: 1, xattrs: xattrs}
	switch e.Mode & ModeType {
	case ModeRegular:
		n.size = e.Size
	case ModeChar, ModeBlock:
		n.rdev = e.Minor&0xff | e.Major<<8 | e.Minor&^0xff<<12 // new_encode_dev of Linux
	}
	return n, nil
}

// release removes one name of n, and all names below it.
func (n *inode) release() {
	n.nlink--
	for _, child := range n.entries {
		child.release()
	}
}

func check(e Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if e.MTimeNsec >= 1e9 {
		return fmt.Errorf("%d nanoseconds of its time are a second or more: %w", e.MTimeNsec, fs.ErrInvalid)
	}
	if e.Mode > math.MaxUint16 {
		return fmt.Errorf("mode %#o has more than 16 bits: %w", e.Mode, fs.ErrInvalid)
	}
	switch e.Mode & ModeType {
	case ModeRegular:
		if e.Size < 0 {
			return fmt.Errorf("size %d: %w", e.Size, fs.ErrInvalid)
		}
	case ModeSymlink:
		return checkTarget(e.Linkname)
	case ModeChar, ModeBlock:
		if e.Major > maxMajor || e.Minor > maxMinor {
			return fmt.Errorf("device number %d:%d is beyond %d:%d: %w", e.Major, e.Minor, maxMajor, maxMinor, fs.ErrInvalid)
		}
	case ModeDir, ModeFIFO, ModeSocket:
	default:
		return fmt.Errorf("mode %#o has no file type: %w", e.Mode, fs.ErrInvalid)
	}
	return nil
}

func checkTarget(target string) error {
	if target == "" || len(target) > maxSymlink || strings.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("a link target of %d bytes (want 1 to %d, no NUL): %w", len(target), maxSymlink, fs.ErrInvalid)
	}
	return nil
}

func checkPath(path string) error {
	if path == "." {
		return nil
	}
	if len(path) > maxPath {
		return fmt.Errorf("a path of %d bytes, the limit is %d: %w", len(path), maxPath, fs.ErrInvalid)
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return errors.Join(fs.ErrInvalid, errors.New("the path is not clean and relative"))
		case len(name) > maxName:
			return fmt.Errorf("a name of %d bytes, the limit is %d: %w", len(name), maxName, fs.ErrInvalid)
		case strings.IndexByte(name, 0) >= 0:
			return fmt.Errorf("a name with a NUL: %w", fs.ErrInvalid)
		}
	}
	return nil
}
