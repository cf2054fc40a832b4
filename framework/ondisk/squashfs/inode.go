// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// An inode is a node of the tree. Close gives it a place in the image.
type inode struct {
	mode     uint32
	uid, gid uint32
	mtime    uint32
	implicit bool   // a directory that was never added
	nlink    uint32 // number of names; for directories set by Close
	rdev     uint32
	start    int64 // of the data in the image
	size     int64
	fragment uint32 // its number, or noIndex
	offset   uint32 // of the tail in the fragment
	target   string // of a symbolic link
	xattrs   uint32 // number of the set, or noIndex
	entries  map[string]*inode
	parent   *inode // of a directory; nil for the root

	// Set by Close.
	number uint32   // from 1; 0 until it is set
	names  []string // of a directory, sorted
	at     int64    // in the inode table without the headers of its blocks
	listAt int64    // of a directory's list in the directory table, likewise
	list   int      // length of that list
}

func newDir(parent *inode) *inode {
	return &inode{mode: erofs.ModeDir | 0o755, implicit: true, entries: map[string]*inode{}, parent: parent, xattrs: noIndex, fragment: noIndex}
}

func (n *inode) isDir() bool { return n.mode&erofs.ModeType == erofs.ModeDir }

func newInode(e Entry) *inode {
	n := &inode{mode: e.Mode, uid: e.UID, gid: e.GID, mtime: seconds(e.MTime), nlink: 1, fragment: noIndex, xattrs: noIndex}
	switch e.Mode & erofs.ModeType {
	case erofs.ModeRegular:
		n.size = e.Size
	case erofs.ModeSymlink:
		n.target = e.Linkname
	case erofs.ModeChar, erofs.ModeBlock:
		n.rdev = e.Minor&0xff | e.Major<<8 | e.Minor&^0xff<<12 // new_encode_dev of Linux
	}
	return n
}

// seconds is the nearest time that the format has.
func seconds(t int64) uint32 { return uint32(min(max(t, 0), math.MaxUint32)) }

// kind is the type of the inode in its basic form, which directories name it by.
func (n *inode) kind() uint16 {
	switch n.mode & erofs.ModeType {
	case erofs.ModeDir:
		return typeDir
	case erofs.ModeRegular:
		return typeFile
	case erofs.ModeSymlink:
		return typeSymlink
	case erofs.ModeBlock:
		return typeBlock
	case erofs.ModeChar:
		return typeChar
	case erofs.ModeFIFO:
		return typeFIFO
	default:
		return typeSocket
	}
}

// extended tells whether the basic form has no room for the inode.
func (n *inode) extended() bool {
	switch {
	case n.xattrs != noIndex:
		return true
	case n.isDir():
		return n.longestList()+dirExtra > math.MaxUint16
	case n.kind() == typeFile:
		return n.nlink > 1 || n.size > math.MaxUint32 || n.start > math.MaxUint32
	}
	return false
}

// blocks is the number of data blocks of a file, without its tail in a fragment.
func (n *inode) blocks() int64 {
	if n.fragment != noIndex {
		return n.size / blockSize
	}
	return (n.size + blockSize - 1) / blockSize
}

// length is the number of bytes of the inode in its table.
func (n *inode) length() int64 {
	basic, extended := fixedLength(n.kind())
	size := basic
	if n.extended() {
		size = extended
	}
	switch n.kind() {
	case typeFile:
		size += 4 * n.blocks()
	case typeSymlink:
		size += int64(len(n.target))
	}
	return size
}

// fixedLength is the length of an inode without its list of blocks or its target.
func fixedLength(kind uint16) (basic, extended int64) {
	switch kind {
	case typeDir:
		return 32, 40
	case typeFile:
		return 32, 56
	case typeSymlink, typeBlock, typeChar:
		return 24, 28
	default:
		return 20, 24
	}
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
	switch kind := e.Mode & erofs.ModeType; {
	case e.Mode > math.MaxUint16:
		return fmt.Errorf("mode %#o has more than 16 bits: %w", e.Mode, fs.ErrInvalid)
	case kind == erofs.ModeRegular && e.Size < 0:
		return fmt.Errorf("size %d: %w", e.Size, fs.ErrInvalid)
	case kind == erofs.ModeSymlink && (e.Linkname == "" || len(e.Linkname) > maxSymlink || strings.IndexByte(e.Linkname, 0) >= 0):
		return fmt.Errorf("a link target of %d bytes (want 1 to %d, no NUL): %w", len(e.Linkname), maxSymlink, fs.ErrInvalid)
	case (kind == erofs.ModeChar || kind == erofs.ModeBlock) && (e.Major >= 1<<12 || e.Minor >= 1<<20):
		return fmt.Errorf("device number %d:%d is beyond %d:%d: %w", e.Major, e.Minor, 1<<12-1, 1<<20-1, fs.ErrInvalid)
	case !slices.Contains([]uint32{erofs.ModeSocket, erofs.ModeSymlink, erofs.ModeRegular, erofs.ModeBlock, erofs.ModeDir, erofs.ModeChar, erofs.ModeFIFO}, kind):
		return fmt.Errorf("mode %#o has no file type: %w", e.Mode, fs.ErrInvalid)
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
