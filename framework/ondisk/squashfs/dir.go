// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"encoding/binary"
	"math"
)

const (
	listHeader  = 12
	listEntry   = 8
	maxListPart = 256 // entries behind one header
)

// longestList is an upper bound for the length of a directory's list, in bytes: a header
// for every entry.
func (n *inode) longestList() int {
	total := 0
	for name := range n.entries {
		total += listHeader + listEntry + len(name)
	}
	return total
}

// encodeList makes the list of a directory: parts, each a header and the entries whose
// inodes lie in the same block of the inode table and have numbers near to each other.
func (n *inode) encodeList() (b []byte) {
	for left := n.names; len(left) > 0; {
		part := n.part(left)
		b = n.appendPart(b, left[:part])
		left = left[part:]
	}
	return b
}

// part is how many of names one header can have.
func (n *inode) part(names []string) int {
	first := n.entries[names[0]]
	block, _ := metaAt(first.at)
	for i, name := range names {
		child := n.entries[name]
		delta := int64(child.number) - int64(first.number)
		if at, _ := metaAt(child.at); i == maxListPart || at != block || delta < math.MinInt16 || delta > math.MaxInt16 {
			return i
		}
	}
	return len(names)
}

func (n *inode) appendPart(b []byte, names []string) []byte {
	le := binary.LittleEndian
	first := n.entries[names[0]]
	block, _ := metaAt(first.at)
	for _, v := range []uint32{uint32(len(names) - 1), block, first.number} {
		b = le.AppendUint32(b, v)
	}
	for _, name := range names {
		child := n.entries[name]
		_, offset := metaAt(child.at)
		for _, v := range []uint16{offset, uint16(int32(child.number) - int32(first.number)), child.kind(), uint16(len(name) - 1)} {
			b = le.AppendUint16(b, v)
		}
		b = append(b, name...)
	}
	return b
}

func (n *inode) appendDir(b []byte) []byte {
	le := binary.LittleEndian
	block, offset := metaAt(n.listAt)
	parent := n.number
	if n.parent != nil {
		parent = n.parent.number
	}
	if !n.extended() {
		b = le.AppendUint32(b, block)
		b = le.AppendUint32(b, n.nlink)
		b = le.AppendUint16(b, uint16(n.list+dirExtra))
		b = le.AppendUint16(b, offset)
		return le.AppendUint32(b, parent)
	}
	for _, v := range []uint32{n.nlink, uint32(n.list + dirExtra), block, parent} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint16(b, 0) // no index
	b = le.AppendUint16(b, offset)
	return le.AppendUint32(b, n.xattrs)
}
