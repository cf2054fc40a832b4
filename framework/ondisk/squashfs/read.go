// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// maxTable is the largest table that is read, in bytes. A million files need less.
const maxTable = 256 << 20

// An image is an image that is being read. Its tables are in memory.
type image struct {
	r         io.ReaderAt
	used      int64
	inodes    []byte // the inode table without the headers of its blocks
	lists     []byte // the directory table, likewise
	fragments []byte
	ids       []byte
	root      uint64
}

// open reads the superblock and the tables.
func open(r io.ReaderAt) (*image, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("reading the SquashFS superblock: %w", err)
	}
	le := binary.LittleEndian
	if string(b[:4]) != Magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrFormat, Magic)
	}
	if major, size := le.Uint16(b[28:]), le.Uint32(b[12:]); major != 4 || size != blockSize {
		return nil, fmt.Errorf("%w: it has version %d and blocks of %d bytes, want 4 and %d", ErrFormat, major, size, blockSize)
	}
	i := &image{r: r, used: int64(min(le.Uint64(b[40:]), math.MaxInt64)), root: le.Uint64(b[32:])}
	ids, fragments := int(le.Uint16(b[26:])), int64(le.Uint32(b[16:]))
	var err error
	end := le.Uint64(b[48:])
	if i.ids, end, err = i.indexed(end, int64(ids)*4); err != nil {
		return nil, fmt.Errorf("reading the id table: %w", err)
	}
	if fragments > 0 {
		if i.fragments, end, err = i.indexed(le.Uint64(b[80:]), fragments*16); err != nil {
			return nil, fmt.Errorf("reading the fragment table: %w", err)
		}
	}
	inodeTable, dirTable := le.Uint64(b[64:]), le.Uint64(b[72:])
	if i.lists, err = i.table(dirTable, end); err != nil {
		return nil, fmt.Errorf("reading the directory table: %w", err)
	}
	if i.inodes, err = i.table(inodeTable, dirTable); err != nil {
		return nil, fmt.Errorf("reading the inode table: %w", err)
	}
	return i, nil
}

// indexed reads a table of size bytes with a list of its blocks, which is at the offset
// list. It returns where the table begins.
func (i *image) indexed(list uint64, size int64) (data []byte, begin uint64, err error) {
	if size == 0 || size > maxTable || list > uint64(i.used) {
		return nil, 0, fmt.Errorf("%w: a table of %d bytes at %d", ErrFormat, size, list)
	}
	first := make([]byte, 8)
	if _, err := i.r.ReadAt(first, int64(list)); err != nil {
		return nil, 0, err
	}
	begin = binary.LittleEndian.Uint64(first)
	data, err = i.table(begin, list)
	if err == nil && int64(len(data)) != size {
		err = fmt.Errorf("%w: a table has %d bytes, want %d", ErrFormat, len(data), size)
	}
	return data, begin, err
}

// table reads the metadata blocks between two offsets.
func (i *image) table(begin, end uint64) ([]byte, error) {
	if begin > end || end > uint64(i.used) || end-begin > maxTable {
		return nil, fmt.Errorf("%w: a table from %d to %d in an image of %d bytes", ErrFormat, begin, end, i.used)
	}
	stored := make([]byte, end-begin)
	if _, err := i.r.ReadAt(stored, int64(begin)); err != nil && len(stored) > 0 {
		return nil, err
	}
	var data []byte
	for len(stored) > 0 {
		if len(data)%metaSize != 0 || len(stored) < metaHeader {
			return nil, fmt.Errorf("%w: a metadata block is cut", ErrFormat)
		}
		header := binary.LittleEndian.Uint16(stored)
		size := int(header &^ rawMeta)
		if header&rawMeta == 0 {
			return nil, fmt.Errorf("%w: it is compressed; only images of this program are read", ErrFormat)
		}
		if stored = stored[metaHeader:]; size > len(stored) || size > metaSize || size == 0 {
			return nil, fmt.Errorf("%w: a metadata block of %d bytes", ErrFormat, size)
		}
		data, stored = append(data, stored[:size]...), stored[size:]
	}
	return data, nil
}

// cut returns size bytes of a table from a place on, or nil if the table ends before.
func cut(table []byte, at, size int64) []byte {
	if at < 0 || size < 0 || at > int64(len(table)) || size > int64(len(table))-at {
		return nil
	}
	return table[at : at+size]
}

// placeOf undoes metaRef.
func placeOf(ref uint64) int64 {
	block, offset := int64(ref>>16&math.MaxUint32), int64(ref&math.MaxUint16)
	return block/(metaSize+metaHeader)*metaSize + offset
}

// id is a user or a group.
func (i *image) id(number uint16) uint32 {
	if b := cut(i.ids, int64(number)*4, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// content returns a reader of a file.
func (i *image) content(n *node) (io.Reader, error) {
	body := n.size
	if n.fragment != noIndex {
		body -= n.size % blockSize
	}
	if n.start > i.used || body > i.used-n.start {
		return nil, fmt.Errorf("%w: a file of %d bytes at %d", ErrFormat, n.size, n.start)
	}
	for left, at := body, int64(0); left > 0; left, at = left-blockSize, at+4 {
		if b := cut(n.blocks, at, 4); b == nil || binary.LittleEndian.Uint32(b) != uint32(min(left, blockSize))|rawData {
			return nil, fmt.Errorf("%w: a block of a file is compressed or has another length", ErrFormat)
		}
	}
	r := io.NewSectionReader(i.r, n.start, body)
	if n.fragment == noIndex {
		return r, nil
	}
	b := cut(i.fragments, int64(n.fragment)*16, 16)
	if b == nil {
		return nil, fmt.Errorf("%w: there is no fragment %d", ErrFormat, n.fragment)
	}
	start, length := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
	tail := n.size - body
	if start > uint64(i.used) || length&rawData == 0 || int64(n.offset)+tail > int64(length&^rawData) {
		return nil, fmt.Errorf("%w: fragment %d lacks the tail of a file", ErrFormat, n.fragment)
	}
	return io.MultiReader(r, io.NewSectionReader(i.r, int64(start)+int64(n.offset), tail)), nil
}
