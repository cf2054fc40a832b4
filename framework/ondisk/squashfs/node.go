// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"time"
)

// A node is an inode that was read.
type node struct {
	kind     uint16 // in its basic form
	mode     fs.FileMode
	uid, gid uint32
	mtime    time.Time
	size     int64
	nlink    uint32
	rdev     uint32
	start    int64
	fragment uint32
	offset   uint32
	blocks   []byte // the rest of the inode table, which begins with the list of blocks
	target   string
	listAt   int64
	list     int64
}

// node reads the inode at a place in the inode table.
func (i *image) node(at int64) (*node, error) {
	bad := fmt.Errorf("%w: an inode at %d of %d bytes", ErrFormat, at, len(i.inodes))
	b := cut(i.inodes, at, 16)
	if b == nil {
		return nil, bad
	}
	le := binary.LittleEndian
	kind := le.Uint16(b)
	n := &node{kind: kind, uid: i.id(le.Uint16(b[4:])), gid: i.id(le.Uint16(b[6:])), mtime: time.Unix(int64(le.Uint32(b[8:])), 0).UTC(), fragment: noIndex, nlink: 1}
	extended := kind > typeExtended
	if extended {
		n.kind -= typeExtended
	}
	if n.kind < typeDir || n.kind > typeSocket {
		return nil, fmt.Errorf("%w: an inode of type %d", ErrFormat, kind)
	}
	n.mode = modeOf(n.kind, le.Uint16(b[2:]))
	size, long := fixedLength(n.kind)
	if extended {
		size = long
	}
	if b = cut(i.inodes, at, size); b == nil {
		return nil, bad
	}
	switch n.kind {
	case typeDir:
		n.readDir(b, extended)
	case typeFile:
		n.readFile(b, extended)
		n.blocks = i.inodes[at+size:]
	case typeSymlink:
		n.nlink, n.size = le.Uint32(b[16:]), int64(le.Uint32(b[20:]))
		target := cut(i.inodes, at+24, n.size)
		if target == nil || n.size > maxSymlink {
			return nil, bad
		}
		n.target = string(target)
	case typeBlock, typeChar:
		n.nlink, n.rdev = le.Uint32(b[16:]), le.Uint32(b[20:])
	default:
		n.nlink = le.Uint32(b[16:])
	}
	return n, nil
}

func (n *node) readDir(b []byte, extended bool) {
	le := binary.LittleEndian
	block, nlink, size, offset := le.Uint32(b[16:]), le.Uint32(b[20:]), int64(le.Uint16(b[24:])), le.Uint16(b[26:])
	if extended {
		nlink, size, block, offset = le.Uint32(b[16:]), int64(le.Uint32(b[20:])), le.Uint32(b[24:]), le.Uint16(b[34:])
	}
	n.nlink, n.list = nlink, max(size-dirExtra, 0)
	n.listAt = placeOf(uint64(block)<<16 | uint64(offset))
}

func (n *node) readFile(b []byte, extended bool) {
	le := binary.LittleEndian
	if !extended {
		n.start, n.fragment, n.offset, n.size = int64(le.Uint32(b[16:])), le.Uint32(b[20:]), le.Uint32(b[24:]), int64(le.Uint32(b[28:]))
		return
	}
	n.start, n.size = int64(le.Uint64(b[16:])&(1<<62-1)), int64(le.Uint64(b[24:])&(1<<62-1))
	n.nlink, n.fragment, n.offset = le.Uint32(b[40:]), le.Uint32(b[44:]), le.Uint32(b[48:])
}

// modeOf translates the permissions of st_mode and a type.
func modeOf(kind, bits uint16) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, b := range []struct {
		bit uint16
		is  fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if bits&b.bit != 0 {
			mode |= b.is
		}
	}
	return mode | typeOf(kind)
}

func typeOf(kind uint16) fs.FileMode {
	switch kind {
	case typeDir:
		return fs.ModeDir
	case typeFile:
		return 0
	case typeSymlink:
		return fs.ModeSymlink
	case typeBlock:
		return fs.ModeDevice
	case typeChar:
		return fs.ModeDevice | fs.ModeCharDevice
	case typeFIFO:
		return fs.ModeNamedPipe
	default:
		return fs.ModeSocket
	}
}

// A named is an entry of a directory.
type named struct {
	name string
	kind uint16
	at   int64 // of its inode
}

// list reads the entries of a directory, sorted by name.
func (i *image) list(n *node) ([]named, error) {
	bad := fmt.Errorf("%w: the list of a directory", ErrFormat)
	b := cut(i.lists, n.listAt, n.list)
	if b == nil {
		return nil, bad
	}
	le := binary.LittleEndian
	var all []named
	for len(b) > 0 {
		if len(b) < listHeader {
			return nil, bad
		}
		count, block := int64(le.Uint32(b))+1, le.Uint32(b[4:])
		if b = b[listHeader:]; count > maxListPart {
			return nil, bad
		}
		for range count {
			if len(b) < listEntry {
				return nil, bad
			}
			offset, kind, size := le.Uint16(b), le.Uint16(b[4:]), int(le.Uint16(b[6:]))+1
			if b = b[listEntry:]; size > len(b) || size > maxName {
				return nil, bad
			}
			all = append(all, named{string(b[:size]), kind, placeOf(uint64(block)<<16 | uint64(offset))})
			b = b[size:]
		}
	}
	return all, nil
}
