// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"fmt"
	"io"
	"path"
)

// An inodeGroup is a group's share of the inodes.
type inodeGroup struct {
	used  bitmap
	count int64 // inodes in use, all at the start
	dirs  int64
}

// An image is a file system in the making: place gives everything its blocks, and
// write writes it.
type image struct {
	geometry
	seed    checksum
	seconds int64
	super   superblock
	blocks  *allocator
	inodes  []inodeGroup
	nextIno uint32

	root         *node
	journalPlace []extent
	resizePlace  int64 // the double indirect block
}

func newImage(g geometry, o Options) *image {
	img := &image{
		geometry: g,
		seed:     checksumStart.bytes(o.UUID[:]),
		seconds:  o.seconds(),
		super:    newSuper(g, o),
		blocks:   newAllocator(g),
		inodes:   make([]inodeGroup, g.groups),
		nextIno:  inoFirst,
	}
	for i := range img.inodes {
		img.inodes[i].used.setRange(inodesPerGroup, 8*blockSize)
	}
	for ino := uint32(1); ino < inoFirst; ino++ {
		img.useInode(ino)
	}
	return img
}

func (img *image) useInode(ino uint32) *inodeGroup {
	group := &img.inodes[(ino-1)/inodesPerGroup]
	group.used.set(int64(ino-1) % inodesPerGroup)
	group.count++
	return group
}

// place gives inodes and blocks to everything: first the resize inode's block and
// the journal, then lost+found, the root, and the tree in order of names.
func (img *image) place(root *node) error {
	resize, err := img.blocks.take(1)
	if err != nil {
		return err
	}
	img.resizePlace = resize[0].start
	if img.journalPlace, err = img.blocks.take(img.geometry.journal); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if len(img.journalPlace) > inlineExtents {
		return fmt.Errorf("%w: journal of %d blocks is in %d pieces, at most %d can be", ErrFull, img.geometry.journal, len(img.journalPlace), inlineExtents)
	}
	img.root = root
	root.ino = inoRoot
	img.inodes[0].dirs++
	if err := img.placeNode(root.children[lostFound], lostFound); err != nil {
		return err
	}
	return img.placeTree(root, ".")
}

// placeTree places the data of dir, whose length depends only on names, and then its
// children, each with everything below it.
func (img *image) placeTree(dir *node, dirPath string) error {
	if err := img.placeData(dir, dirPath); err != nil {
		return err
	}
	for _, child := range dir.sorted() {
		if child.ino != 0 {
			continue // lost+found
		}
		if err := img.placeNode(child, path.Join(dirPath, child.name)); err != nil {
			return err
		}
	}
	return nil
}

func (img *image) placeNode(n *node, path string) error {
	if int64(img.nextIno) > img.geometry.inodes() {
		return fmt.Errorf("%w: %q is entry %d, and there are %d inodes", ErrFull, path, img.nextIno, img.geometry.inodes())
	}
	n.ino = img.nextIno
	img.nextIno++
	group := img.useInode(n.ino)
	if !n.isDir() {
		return img.placeData(n, path)
	}
	group.dirs++
	return img.placeTree(n, path)
}

func (img *image) placeData(n *node, path string) error {
	blocks := (int64(len(n.data)) + blockSize - 1) / blockSize
	if n.isDir() {
		blocks = n.dirBlocks()
	}
	var err error
	if n.extents, err = img.blocks.take(blocks); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if len(n.extents) > inlineExtents {
		return fmt.Errorf("%w: %q of %d blocks is in %d pieces, at most %d can be", ErrFull, path, blocks, len(n.extents), inlineExtents)
	}
	return nil
}

// write writes the placed image. The primary superblock comes last: without it there
// is no file system.
func (img *image) write(w io.WriterAt) error {
	out := blockWriter{w: w}
	img.writeResize(&out)
	img.writeJournal(&out)
	img.writeTree(&out, img.root, img.root)
	img.writeBitmaps(&out)
	img.writeSupers(&out)
	return out.err
}

func (img *image) writeResize(out *blockWriter) {
	d := img.inode(modeFile|0o600, 1)
	d.setSize(resizeSize(), img.resizeBlocks())
	d.setPointer(doubleIndir, img.resizePlace)
	img.writeInode(out, inoResize, d)
	out.block(img.resizePlace, img.resizeDouble())
	for n := range img.reservedGDT {
		out.block(img.reservedBlock(n), img.resizeIndirect(n))
	}
}

func (img *image) writeJournal(out *blockWriter) {
	d := img.inode(modeFile|0o600, 1)
	d.setSize(img.geometry.journal*blockSize, img.geometry.journal)
	d.setExtents(img.journalPlace)
	img.super.setJournal(d)
	img.writeInode(out, inoJournal, d)
	out.block(img.journalPlace[0].start, emptyJournal(img.geometry.journal))
}

func (img *image) writeTree(out *blockWriter, n, parent *node) {
	data, links := n.data, uint16(1)
	if n.isDir() {
		data, links = n.dirData(parent, img.seed), dirLinks(n)
	}
	d := img.inode(n.mode, links)
	d.setOwner(n.uid, n.gid)
	d.setSize(int64(len(data)), countBlocks(n.extents))
	d.setExtents(n.extents)
	img.writeInode(out, n.ino, d)
	for _, e := range n.extents {
		size := min(e.count*blockSize, int64(len(data)))
		out.block(e.start, data[:size])
		data = data[size:]
	}
	for _, child := range n.sorted() {
		img.writeTree(out, child, n)
	}
}

// dirLinks counts ".", the name in the parent, and the ".." of every directory
// below; 1 stands for more than 64999 (dir_nlink).
func dirLinks(n *node) uint16 {
	if links := 2 + n.subdirs(); links <= 64999 {
		return uint16(links)
	}
	return 1
}

func (img *image) inode(mode uint32, links uint16) diskInode {
	d := diskInode{Mode: uint16(mode), Links: links}
	d.setTime(img.seconds)
	return d
}

func (img *image) writeInode(out *blockWriter, ino uint32, d diskInode) {
	group, index := int64(ino-1)/inodesPerGroup, int64(ino-1)%inodesPerGroup
	out.bytes(img.inodeTable(group)*blockSize+index*inodeSize, d.encode(ino, img.seed))
}

func (img *image) writeBitmaps(out *blockWriter) {
	for group := range img.groups {
		out.block(img.blockBitmap(group), img.blocks.used[group][:])
		out.block(img.inodeBitmap(group), img.inodes[group].used[:])
	}
}

// writeSupers writes the superblock and the descriptors to every group that
// has them.
func (img *image) writeSupers(out *blockWriter) {
	var table []byte
	var free, freeInodes int64
	for group := range img.groups {
		table = append(table, img.desc(group).encode(group, img.seed)...)
		free += img.blocks.free[group]
		freeInodes += inodesPerGroup - img.inodes[group].count
	}
	img.super.FreeBlocks, img.super.FreeBlocksHigh = uint32(free), uint32(free>>32)
	img.super.FreeInodes = uint32(freeInodes)
	for _, group := range img.backups() {
		out.block(img.start(group), img.super.encode(group))
		out.block(img.start(group)+1, table)
	}
	out.block(1, table)
	out.bytes(superOffset, img.super.encode(0))
}

func (img *image) desc(group int64) groupDesc {
	inodes, free := &img.inodes[group], img.blocks.free[group]
	freeInodes := inodesPerGroup - inodes.count
	blockSum := img.seed.bytes(img.blocks.used[group][:blocksPerGroup/8])
	inodeSum := img.seed.bytes(inodes.used[:inodesPerGroup/8])
	bb, ib, it := img.blockBitmap(group), img.inodeBitmap(group), img.inodeTable(group)
	return groupDesc{
		BlockBitmap: uint32(bb), BlockBitmapHigh: uint32(bb >> 32),
		InodeBitmap: uint32(ib), InodeBitmapHigh: uint32(ib >> 32),
		InodeTable: uint32(it), InodeTableHigh: uint32(it >> 32),
		FreeBlocks: uint16(free), FreeInodes: uint16(freeInodes), UnusedInodes: uint16(freeInodes),
		Dirs: uint16(inodes.dirs), Flags: inodesZeroed,
		BlockSum: blockSum.low(), BlockSumHigh: blockSum.high(),
		InodeSum: inodeSum.low(), InodeSumHigh: inodeSum.high(),
	}
}

// A blockWriter remembers its first error and does nothing after it.
type blockWriter struct {
	w   io.WriterAt
	err error
}

func (b *blockWriter) block(n int64, p []byte) { b.bytes(n*blockSize, p) }

func (b *blockWriter) bytes(offset int64, p []byte) {
	if b.err != nil || allZero(p) {
		return
	}
	if _, err := b.w.WriteAt(p, offset); err != nil {
		b.err = fmt.Errorf("writing ext4 at byte %d: %w", offset, err)
	}
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
