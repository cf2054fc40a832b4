// SPDX-License-Identifier: Apache-2.0

package ext4

import "encoding/binary"

// File types in directory entries.
const (
	typeFile     = 1
	typeDir      = 2
	typeChecksum = 0xDE // the entry that holds the block's checksum
)

const dirTail = 12 // bytes of the checksum's entry, at the end of every block

// dirEntry is one name in a directory.
type dirEntry struct {
	ino  uint32
	kind byte
	name string
}

// length returns the entry's shortest length in bytes, a multiple of 4.
func (e dirEntry) length() int { return (8 + len(e.name) + 3) &^ 3 }

func (n *node) entries(parent *node) []dirEntry {
	list := []dirEntry{{n.ino, typeDir, "."}, {parent.ino, typeDir, ".."}}
	for _, child := range n.sorted() {
		kind := byte(typeFile)
		if child.isDir() {
			kind = typeDir
		}
		list = append(list, dirEntry{child.ino, kind, child.name})
	}
	return list
}

// pages splits entries into blocks, at least minimum.
func pages(entries []dirEntry, minimum int64) [][]dirEntry {
	var list [][]dirEntry
	room := 0
	for _, e := range entries {
		if e.length() > room {
			list = append(list, nil)
			room = blockSize - dirTail
		}
		room -= e.length()
		list[len(list)-1] = append(list[len(list)-1], e)
	}
	for int64(len(list)) < minimum {
		list = append(list, nil)
	}
	return list
}

// dirBlocks returns the number of blocks of a directory.
func (n *node) dirBlocks() int64 { return int64(len(pages(n.entries(n), n.minimum))) }

// dirData returns the contents of a directory: linear blocks, each with a checksum.
func (n *node) dirData(parent *node, seed checksum) []byte {
	var data []byte
	for _, page := range pages(n.entries(parent), n.minimum) {
		data = append(data, dirBlock(page, inodeSeed(n.ino, seed))...)
	}
	return data
}

func dirBlock(entries []dirEntry, seed checksum) []byte {
	if len(entries) == 0 {
		entries = []dirEntry{{}} // inode 0: free space
	}
	p := make([]byte, 0, blockSize)
	for i, e := range entries {
		length := e.length()
		if i == len(entries)-1 {
			length = blockSize - dirTail - len(p)
		}
		p = appendEntry(p, e, length)
	}
	sum := seed.bytes(p)
	p = appendEntry(p, dirEntry{kind: typeChecksum}, 8)
	return binary.LittleEndian.AppendUint32(p, uint32(sum))
}

// appendEntry appends e, padded with zeros to length bytes. The recorded length of
// the checksum's entry includes the four bytes after it.
func appendEntry(p []byte, e dirEntry, length int) []byte {
	start := len(p)
	recorded := length
	if e.kind == typeChecksum {
		recorded = dirTail
	}
	p = binary.LittleEndian.AppendUint32(p, e.ino)
	p = binary.LittleEndian.AppendUint16(p, uint16(recorded))
	p = append(p, byte(len(e.name)), e.kind)
	p = append(p, e.name...)
	return append(p, make([]byte, start+length-len(p))...)
}
