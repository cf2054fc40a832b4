// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"slices"
)

const (
	extendedSize = 64
	compactSize  = 32
	slotSize     = 32

	superblockAt = 1024
	magic        = 0xE0F5E1E2
	blockBits    = 12
	// featureChecksum and featureMTime are feature_compat bits: the superblock
	// has a CRC, and the time in inodes is mtime.
	featureChecksum = 1
	featureMTime    = 2
)

// finish writes everything but the contents of files.
func (w *Writer) finish() (int64, error) {
	inodes, err := w.number()
	if err != nil {
		return 0, err
	}
	w.layoutDirs(inodes)
	if err := w.place(inodes); err != nil {
		return 0, err
	}
	if err := w.writeDirs(inodes); err != nil {
		return 0, err
	}
	meta := w.out.block()
	if err := w.writeInodes(inodes); err != nil {
		return 0, err
	}
	return w.writeSuperblock(meta, len(inodes))
}

// number gives every inode its number: first the root, then the entries of each
// directory together, so that a listing reads neighbouring inodes.
func (w *Writer) number() ([]*inode, error) {
	w.root.ino = 1
	inodes := []*inode{w.root}
	var walk func(n *inode)
	walk = func(n *inode) {
		n.dir, n.nlink = layoutDir(n), 2
		first := len(inodes)
		for _, name := range n.dir.names {
			child := n.entries[name]
			if child == nil {
				continue // "." and ".."
			}
			if child.isDir() {
				n.nlink++
			}
			if child.ino == 0 {
				inodes = append(inodes, child)
				child.ino = uint32(len(inodes))
			}
		}
		for _, child := range inodes[first:len(inodes):len(inodes)] {
			if child.isDir() {
				walk(child)
			}
		}
	}
	walk(w.root)
	if len(inodes) > math.MaxInt32 {
		return nil, fmt.Errorf("an EROFS image of %d inodes: %w", len(inodes), fs.ErrInvalid)
	}
	return inodes, nil
}

// layoutDirs decides how the content of each directory is stored.
func (w *Writer) layoutDirs(inodes []*inode) {
	next := w.out.block()
	for _, n := range inodes {
		if !n.isDir() {
			continue
		}
		if n.implicit {
			n.mtime = w.o.BuildTime
		}
		n.size = n.dir.size()
		if blocks := n.dirBlocks(); blocks > 0 {
			n.block = next
			next += uint32(blocks)
		}
	}
}

// inlineSize returns how many bytes of data stand beside the inode.
func (n *inode) inlineSize() int {
	if n.isDir() && n.dir.last < BlockSize && extendedSize+len(n.xattrs)+n.dir.last <= BlockSize {
		return n.dir.last
	}
	return len(n.tail)
}

// dirBlocks returns how many blocks a directory has besides its inline data.
func (n *inode) dirBlocks() int {
	if n.inlineSize() > 0 {
		return len(n.dir.starts) - 1
	}
	return len(n.dir.starts)
}

func (w *Writer) writeDirs(inodes []*inode) error {
	for _, n := range inodes {
		if !n.isDir() {
			continue
		}
		for i := range n.dirBlocks() {
			if err := errors.Join(w.out.write(n.dir.encode(n, i)), w.align()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) writeInodes(inodes []*inode) error {
	base := w.out.end()
	slices.SortFunc(inodes, func(a, b *inode) int { return cmp.Compare(a.offset, b.offset) })
	for _, n := range inodes {
		inline := n.tail
		if n.isDir() && n.inlineSize() > 0 {
			inline = n.dir.encode(n, len(n.dir.starts)-1)
		}
		err := errors.Join(w.out.zero(base+n.offset-w.out.end()),
			w.out.write(w.encode(n)), w.out.write(n.xattrs), w.out.write(inline))
		if err != nil {
			return err
		}
	}
	return w.align()
}

// writeSuperblock writes the buffer, then block 0.
func (w *Writer) writeSuperblock(meta uint32, inodes int) (int64, error) {
	size := w.out.end()
	if size/BlockSize > maxImageBlocks {
		return 0, fmt.Errorf("an EROFS image of %d bytes: the limit is 16 TiB", size)
	}
	b := make([]byte, BlockSize)
	sb := b[superblockAt:]
	le := binary.LittleEndian
	le.PutUint32(sb, magic)
	le.PutUint32(sb[8:], featureChecksum|featureMTime)
	sb[12] = blockBits
	le.PutUint16(sb[14:], uint16(w.root.nid()))
	le.PutUint64(sb[16:], uint64(inodes))
	le.PutUint64(sb[24:], uint64(w.o.BuildTime))
	le.PutUint32(sb[36:], uint32(size/BlockSize))
	le.PutUint32(sb[40:], meta)
	copy(sb[48:], w.o.UUID[:])
	// The CRC of Linux has no final inversion, and covers the whole block.
	le.PutUint32(sb[4:], ^crc32.Checksum(sb, crc32.MakeTable(crc32.Castagnoli)))
	if err := errors.Join(w.out.flush(), w.out.wait()); err != nil {
		return 0, err
	}
	if _, err := w.out.w.WriteAt(b, 0); err != nil {
		return 0, fmt.Errorf("writing EROFS superblock: %w", err)
	}
	return size, nil
}

// encode returns the fixed part of an inode.
func (w *Writer) encode(n *inode) []byte {
	format := uint16(0)
	if n.inlineSize() > 0 {
		format = 2 << 1 // flat inline
	}
	le := binary.LittleEndian
	b := make([]byte, extendedSize)
	le.PutUint16(b[2:], n.xattrCount())
	le.PutUint16(b[4:], uint16(n.mode))
	le.PutUint32(b[16:], n.union())
	le.PutUint32(b[20:], n.ino)
	if w.compact(n) {
		le.PutUint16(b, format)
		le.PutUint16(b[6:], uint16(n.nlink))
		le.PutUint32(b[8:], uint32(n.size))
		le.PutUint16(b[24:], uint16(n.uid))
		le.PutUint16(b[26:], uint16(n.gid))
		return b[:compactSize]
	}
	le.PutUint16(b, format|1)
	le.PutUint64(b[8:], uint64(n.size))
	le.PutUint32(b[24:], n.uid)
	le.PutUint32(b[28:], n.gid)
	le.PutUint64(b[32:], uint64(n.mtime))
	le.PutUint32(b[40:], n.nsec)
	le.PutUint32(b[44:], n.nlink)
	return b
}

// union is i_u: a device number or the first block of data.
func (n *inode) union() uint32 {
	switch n.mode & ModeType {
	case ModeChar, ModeBlock:
		return n.rdev
	}
	return n.block
}

// compact says whether the inode fits the compact form.
func (w *Writer) compact(n *inode) bool {
	return n.mtime == w.o.BuildTime && n.nsec == 0 && n.size <= math.MaxUint32 &&
		n.uid <= math.MaxUint16 && n.gid <= math.MaxUint16 && n.nlink <= math.MaxUint16
}

func (w *Writer) fixedSize(n *inode) int {
	if w.compact(n) {
		return compactSize
	}
	return extendedSize
}

// nid is the number by which directories refer to an inode.
func (n *inode) nid() uint64 { return uint64(n.offset / slotSize) }
