// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// A closing writes the tables of an image.
type closing struct {
	*Writer
	inodes []*inode
	ids    []uint32 // users and groups, in the order of their first use
	index  map[uint32]uint16
	super  superblock
}

type superblock struct {
	inodeTable, dirTable, fragmentTable, idTable, xattrTable uint64
	used                                                     int64
}

// finish writes everything but the contents of files.
func (w *Writer) finish() (int64, error) {
	c := &closing{Writer: w, index: map[uint32]uint16{}}
	if err := w.endFragment(); err != nil {
		return 0, err
	}
	if err := c.number(); err != nil {
		return 0, err
	}
	c.place()
	for _, table := range []func() error{c.inodeTable, c.dirTable, c.fragmentTable, c.idTable, c.xattrTables, c.pad} {
		if err := table(); err != nil {
			return 0, err
		}
	}
	if err := w.keep(w.out.Flush()); err != nil {
		return 0, err
	}
	if _, err := w.w.WriteAt(c.block(), 0); err != nil {
		return 0, fmt.Errorf("writing SquashFS superblock: %w", err)
	}
	return w.end, nil
}

// number gives every inode its number: first the root, then the entries of each directory
// together, so that a listing reads neighbouring inodes.
func (c *closing) number() error {
	c.root.number, c.inodes = 1, []*inode{c.root}
	c.walk(c.root)
	if len(c.inodes) > math.MaxInt32 {
		return fmt.Errorf("a SquashFS image of %d inodes: %w", len(c.inodes), fs.ErrInvalid)
	}
	for _, n := range c.inodes {
		if n.implicit {
			n.mtime = seconds(c.time)
		}
		for _, id := range []uint32{n.uid, n.gid} {
			if _, ok := c.index[id]; !ok {
				c.index[id] = uint16(len(c.ids))
				c.ids = append(c.ids, id)
			}
		}
	}
	if len(c.ids) > maxIDs {
		return fmt.Errorf("a SquashFS image with %d users and groups, the limit is %d: %w", len(c.ids), maxIDs, fs.ErrInvalid)
	}
	return nil
}

func (c *closing) walk(n *inode) {
	n.names, n.nlink = slices.Sorted(maps.Keys(n.entries)), 2
	first := len(c.inodes)
	for _, name := range n.names {
		child := n.entries[name]
		if child.isDir() {
			n.nlink++
		}
		if child.number == 0 {
			c.inodes = append(c.inodes, child)
			child.number = uint32(len(c.inodes))
		}
	}
	for _, child := range c.inodes[first:len(c.inodes):len(c.inodes)] {
		if child.isDir() {
			c.walk(child)
		}
	}
}

// place gives inodes and lists their places in the tables.
func (c *closing) place() {
	at := int64(0)
	for _, n := range c.inodes {
		n.at = at
		at += n.length()
	}
	at = 0
	for _, n := range c.inodes {
		if n.isDir() {
			n.listAt, n.list = at, len(n.encodeList())
			at += int64(n.list)
		}
	}
}

// metaAt is where a place in a table is: the offset of its block, and the place in the
// block.
func metaAt(at int64) (block uint32, offset uint16) {
	return uint32(at / metaSize * (metaSize + metaHeader)), uint16(at % metaSize)
}

// metaRef is such a place in one number.
func metaRef(at int64) uint64 {
	block, offset := metaAt(at)
	return uint64(block)<<16 | uint64(offset)
}

// metadata writes a table and returns the offsets of its blocks.
func (w *Writer) metadata(data []byte) (starts []uint64, err error) {
	for part := range slices.Chunk(data, metaSize) {
		starts = append(starts, uint64(w.end))
		header := binary.LittleEndian.AppendUint16(nil, rawMeta|uint16(len(part)))
		if err := errors.Join(w.write(header), w.write(part)); err != nil {
			return nil, err
		}
	}
	return starts, nil
}

// indexed writes a table with the list of its blocks behind it, and returns the offset of
// the list. head comes before the list.
func (w *Writer) indexed(data, head []byte) (uint64, error) {
	starts, err := w.metadata(data)
	if err != nil {
		return 0, err
	}
	at := uint64(w.end)
	for _, start := range starts {
		head = binary.LittleEndian.AppendUint64(head, start)
	}
	return at, w.write(head)
}

func (c *closing) inodeTable() error {
	var b []byte
	for _, n := range c.inodes {
		b = c.appendInode(b, n)
	}
	c.super.inodeTable = uint64(c.end)
	_, err := c.metadata(b)
	return err
}

func (c *closing) dirTable() error {
	var b []byte
	for _, n := range c.inodes {
		if n.isDir() {
			b = append(b, n.encodeList()...)
		}
	}
	c.super.dirTable = uint64(c.end)
	_, err := c.metadata(b)
	return err
}

func (c *closing) fragmentTable() (err error) {
	if c.super.fragmentTable = noTable; len(c.fragments) == 0 {
		return nil
	}
	var b []byte
	for i, start := range c.fragments {
		b = binary.LittleEndian.AppendUint64(b, uint64(start))
		b = binary.LittleEndian.AppendUint32(b, uint32(c.lengths[i])|rawData)
		b = binary.LittleEndian.AppendUint32(b, 0)
	}
	c.super.fragmentTable, err = c.indexed(b, nil)
	return err
}

func (c *closing) idTable() (err error) {
	var b []byte
	for _, id := range c.ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	c.super.idTable, err = c.indexed(b, nil)
	return err
}

func (c *closing) xattrTables() error {
	if c.super.xattrTable = noTable; len(c.xattrs.refs) == 0 {
		return nil
	}
	head := binary.LittleEndian.AppendUint64(nil, uint64(c.end))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(c.xattrs.refs)))
	head = binary.LittleEndian.AppendUint32(head, 0)
	if _, err := c.metadata(c.xattrs.data); err != nil {
		return err
	}
	var b []byte
	for _, set := range c.xattrs.refs {
		b = binary.LittleEndian.AppendUint64(b, metaRef(set.at))
		b = binary.LittleEndian.AppendUint32(b, uint32(set.count))
		b = binary.LittleEndian.AppendUint32(b, uint32(set.size))
	}
	at, err := c.indexed(b, head)
	c.super.xattrTable = at
	return err
}

func (c *closing) pad() error {
	c.super.used = c.end
	return c.write(make([]byte, -c.end&(alignment-1)))
}

// block is the first block of the image, which begins with the superblock.
func (c *closing) block() []byte {
	flags := uint16(flagRawInodes | flagRawData | flagRawFragments | flagRawXattrs | flagRawIDs)
	if c.super.xattrTable == noTable {
		flags |= flagNoXattrs
	}
	b := append(make([]byte, 0, alignment), Magic...)
	le := binary.LittleEndian
	for _, v := range []uint32{uint32(len(c.inodes)), seconds(c.time), blockSize, uint32(len(c.fragments))} {
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint16{zlib, blockLog, flags, uint16(len(c.ids)), 4, 0} {
		b = le.AppendUint16(b, v)
	}
	for _, v := range []uint64{metaRef(c.root.at), uint64(c.super.used), c.super.idTable, c.super.xattrTable, c.super.inodeTable, c.super.dirTable, c.super.fragmentTable, noTable} {
		b = le.AppendUint64(b, v)
	}
	return b[:alignment]
}

// appendInode adds an inode in its basic or extended form.
func (c *closing) appendInode(b []byte, n *inode) []byte {
	le := binary.LittleEndian
	kind := n.kind()
	if n.extended() {
		kind += typeExtended
	}
	for _, v := range []uint16{kind, uint16(n.mode &^ erofs.ModeType), c.index[n.uid], c.index[n.gid]} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, n.mtime)
	b = le.AppendUint32(b, n.number)
	switch n.kind() {
	case typeDir:
		return n.appendDir(b)
	case typeFile:
		return n.appendFile(b)
	}
	b = le.AppendUint32(b, n.nlink)
	switch n.kind() {
	case typeSymlink:
		b = le.AppendUint32(b, uint32(len(n.target)))
		b = append(b, n.target...)
	case typeBlock, typeChar:
		b = le.AppendUint32(b, n.rdev)
	}
	if n.extended() {
		b = le.AppendUint32(b, n.xattrs)
	}
	return b
}

func (n *inode) appendFile(b []byte) []byte {
	le := binary.LittleEndian
	if n.extended() {
		for _, v := range []uint64{uint64(n.start), uint64(n.size), 0} {
			b = le.AppendUint64(b, v)
		}
		for _, v := range []uint32{n.nlink, n.fragment, n.offset, n.xattrs} {
			b = le.AppendUint32(b, v)
		}
	} else {
		for _, v := range []uint32{uint32(n.start), n.fragment, n.offset, uint32(n.size)} {
			b = le.AppendUint32(b, v)
		}
	}
	for left, i := n.size, int64(0); i < n.blocks(); i++ {
		b = le.AppendUint32(b, uint32(min(left, blockSize))|rawData)
		left -= blockSize
	}
	return b
}
