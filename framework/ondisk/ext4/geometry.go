// SPDX-License-Identifier: Apache-2.0

package ext4

import "fmt"

const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // one bitmap block's worth: 128 MiB
	inodeSize      = 256
	// inodesPerGroup is one inode for 16 KiB, as with mke2fs; a grown file system
	// keeps the ratio.
	inodesPerGroup    = 8192
	inodeTableBlocks  = inodesPerGroup * inodeSize / blockSize
	groupDescSize     = 64
	groupDescPerBlock = blockSize / groupDescSize
	pointersPerBlock  = blockSize / 4 // block numbers in an indirect block

	minSize    = 16 << 20
	maxSize    = 1 << 40
	minJournal = 4 << 20 // jbd2 refuses less than 1024 blocks
	maxJournal = 64 << 20
	// maxReservedGDT is the most that mke2fs reserves by default. Each block of
	// descriptors lets the file system grow by 8 GiB.
	maxReservedGDT = 256
)

// geometry says where the metadata of every block group is. The fields are numbers
// of blocks, but for groups.
//
// The groups 0, 1 and the powers of 3, 5 and 7 start with a superblock, gdt blocks
// of group descriptors and reservedGDT blocks for more of them. Then, in every
// group, follow the block bitmap, the inode bitmap and the inode table.
type geometry struct {
	blocks      int64
	groups      int64
	gdt         int64
	reservedGDT int64
	journal     int64
}

func newGeometry(size, journal int64) (geometry, error) {
	if size < minSize || size > maxSize {
		return geometry{}, fmt.Errorf("%w: %d bytes, want 16 MiB to 1 TiB", ErrSize, size)
	}
	if journal == 0 {
		journal = min(max(size/4/blockSize*blockSize, minJournal), maxJournal)
	}
	if err := checkJournal(journal, size); err != nil {
		return geometry{}, err
	}
	g := geometry{blocks: size / blockSize, journal: journal / blockSize}
	// When the kernel adds groups, it needs a transaction (a quarter of the
	// journal, less overhead) with room for each reserved block
	// (ext4_flex_group_add).
	g.reservedGDT = min(maxReservedGDT, g.journal/8)
	g.setGroups((g.blocks + blocksPerGroup - 1) / blocksPerGroup)
	// A last group with room for little more than its own metadata is left out, as
	// in mke2fs.
	if last := g.groups - 1; last > 0 && g.groupBlocks(last) < g.overhead(last)+50 {
		g.blocks = last * blocksPerGroup
		g.setGroups(last)
	}
	return g, nil
}

func checkJournal(journal, size int64) error {
	if journal < minJournal || journal%blockSize != 0 || journal > size/2 {
		return fmt.Errorf("%w: journal of %d bytes, want a multiple of %d from 4 MiB to half of the file system's %d",
			ErrOption, journal, blockSize, size)
	}
	return nil
}

func (g *geometry) setGroups(n int64) {
	g.groups = n
	g.gdt = (n + groupDescPerBlock - 1) / groupDescPerBlock
}

// start is the first block of a group.
func (g geometry) start(group int64) int64 { return group * blocksPerGroup }

// groupBlocks is the number of blocks of a group; the last one may be shorter.
func (g geometry) groupBlocks(group int64) int64 {
	return min(g.blocks-g.start(group), blocksPerGroup)
}

// superBlocks returns how many blocks of a group hold the superblock, descriptors
// and room for more descriptors.
func (g geometry) superBlocks(group int64) int64 {
	if !hasSuper(group) {
		return 0
	}
	return 1 + g.gdt + g.reservedGDT
}

func (g geometry) blockBitmap(group int64) int64 { return g.start(group) + g.superBlocks(group) }
func (g geometry) inodeBitmap(group int64) int64 { return g.blockBitmap(group) + 1 }
func (g geometry) inodeTable(group int64) int64  { return g.blockBitmap(group) + 2 }

// overhead is the number of metadata blocks at the start of a group.
func (g geometry) overhead(group int64) int64 { return g.superBlocks(group) + 2 + inodeTableBlocks }

func (g geometry) inodes() int64 { return g.groups * inodesPerGroup }

// backups lists the groups with copies of the superblock.
func (g geometry) backups() []int64 {
	var list []int64
	for group := int64(1); group < g.groups; group++ {
		if hasSuper(group) {
			list = append(list, group)
		}
	}
	return list
}

// hasSuper tells whether sparse_super gives a group a superblock: 0, 1 and the
// powers of 3, 5 and 7 have one.
func hasSuper(group int64) bool {
	return group <= 1 || isPower(group, 3) || isPower(group, 5) || isPower(group, 7)
}

func isPower(n, base int64) bool {
	for n%base == 0 {
		n /= base
	}
	return n == 1
}
