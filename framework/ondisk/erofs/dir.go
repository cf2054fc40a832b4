// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"encoding/binary"
	"maps"
	"slices"
)

const direntSize = 12

// A dirLayout holds a directory's names, with "." and "..", sorted by bytes and
// cut into blocks. In each block the fixed-size entries come first, then their
// names; Linux searches by the first name of each block.
type dirLayout struct {
	names  []string
	starts []int // index of the first name of each block
	last   int   // bytes used in the last block
}

func layoutDir(n *inode) *dirLayout {
	d := &dirLayout{names: slices.AppendSeq(make([]string, 0, len(n.entries)+2), maps.Keys(n.entries))}
	d.names = append(d.names, ".", "..")
	slices.Sort(d.names)
	d.last = BlockSize
	for i, name := range d.names {
		need := direntSize + len(name)
		if d.last+need > BlockSize {
			d.starts = append(d.starts, i)
			d.last = 0
		}
		d.last += need
	}
	return d
}

// size is i_size of the directory.
func (d *dirLayout) size() int64 {
	return int64(len(d.starts)-1)*BlockSize + int64(d.last)
}

// encode makes block i of directory n, whose entries must have their places in the
// image. The last block has d.last bytes, the others BlockSize.
func (d *dirLayout) encode(n *inode, i int) []byte {
	size, end := BlockSize, len(d.names)
	if i == len(d.starts)-1 {
		size = d.last
	} else {
		end = d.starts[i+1]
	}
	names := d.names[d.starts[i]:end]
	b := make([]byte, size)
	nameOff := len(names) * direntSize
	for j, name := range names {
		child := n.child(name)
		entry := b[j*direntSize:]
		binary.LittleEndian.PutUint64(entry, child.nid())
		binary.LittleEndian.PutUint16(entry[8:], uint16(nameOff))
		entry[10] = child.fileType()
		nameOff += copy(b[nameOff:], name)
	}
	return b
}

// child returns an entry of a directory, "." and ".." included.
func (n *inode) child(name string) *inode {
	switch {
	case name == ".", name == ".." && n.parent == nil:
		return n
	case name == "..":
		return n.parent
	}
	return n.entries[name]
}

// fileType returns the type as directory entries store it.
func (n *inode) fileType() byte {
	switch n.mode & ModeType {
	case ModeRegular:
		return 1
	case ModeDir:
		return 2
	case ModeChar:
		return 3
	case ModeBlock:
		return 4
	case ModeFIFO:
		return 5
	case ModeSocket:
		return 6
	default:
		return 7
	}
}
