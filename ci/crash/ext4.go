// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// An ext4FS holds the parameters of an ext4 file system. Offsets and names come from
// Documentation/filesystems/ext4 in Linux.
type ext4FS struct {
	r              io.ReaderAt // with the journal replayed
	super          []byte
	blockSize      int64
	blocks         int64
	blocksPerGroup int64
	inodesPerGroup int64
	inodeSize      int64
	descSize       int64
	firstBlock     int64
	seed           uint32 // of all checksums
}

const (
	ext4Super     = 1024 // offset and size of the superblock
	ext4Magic     = 0xef53
	ext4Recover   = 0x4 // incompat: the journal must be replayed
	ext4MetaBG    = 0x10
	ext4CsumSeed  = 0x2000
	ext464Bit     = 0x80
	ext4MetaCsum  = 0x400 // ro_compat
	ext4InoUninit = 0x1   // flags of a group
	ext4BlkUninit = 0x2
)

// errBeyond says that only e2fsck can check the file system.
var errBeyond = errors.New("the file system has features that are not checked here")

func isExt4(r io.ReaderAt) bool {
	b := make([]byte, 2)
	_, err := r.ReadAt(b, ext4Super+0x38)
	return err == nil && binary.LittleEndian.Uint16(b) == ext4Magic
}

// quickExt4 replays the journal in memory, then verifies the checksums of the
// superblock, the group descriptors, the bitmaps and the inodes in use.
func quickExt4(r io.ReaderAt, size int64) error {
	e, err := openExt4(r, size)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(e.super[0x60:])&ext4Recover != 0 {
		blocks, err := e.replay()
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if e, err = openExt4(replayed{r, e.blockSize, blocks}, size); err != nil {
			return fmt.Errorf("after replaying the journal: %w", err)
		}
	}
	return e.checkGroups()
}

func openExt4(r io.ReaderAt, size int64) (*ext4FS, error) {
	b := make([]byte, 1024)
	if _, err := r.ReadAt(b, ext4Super); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	le := binary.LittleEndian
	incompat, ro := le.Uint32(b[0x60:]), le.Uint32(b[0x64:])
	switch {
	case le.Uint16(b[0x38:]) != ext4Magic:
		return nil, errors.New("no superblock of ext4")
	case ro&ext4MetaCsum == 0 || incompat&ext4MetaBG != 0:
		return nil, errBeyond
	case le.Uint32(b[1020:]) != ext4Sum(^uint32(0), b[:1020]):
		return nil, errors.New("the superblock's checksum is wrong")
	}
	e := &ext4FS{
		r: r, super: b,
		blockSize:      1024 << le.Uint32(b[0x18:]),
		blocks:         int64(le.Uint32(b[0x4:])),
		firstBlock:     int64(le.Uint32(b[0x14:])),
		blocksPerGroup: int64(le.Uint32(b[0x20:])),
		inodesPerGroup: int64(le.Uint32(b[0x28:])),
		inodeSize:      int64(le.Uint16(b[0x58:])),
		descSize:       32,
		seed:           ext4Sum(^uint32(0), b[0x68:0x78]),
	}
	if incompat&ext464Bit != 0 {
		e.descSize = int64(le.Uint16(b[0xfe:]))
		e.blocks |= int64(le.Uint32(b[0x150:])) << 32
	}
	if incompat&ext4CsumSeed != 0 {
		e.seed = le.Uint32(b[0x270:])
	}
	if e.blocks*e.blockSize > size || e.blocksPerGroup == 0 || e.descSize < 32 || e.inodeSize < 128 {
		return nil, fmt.Errorf("a file system of %d blocks in a partition of %d bytes", e.blocks, size)
	}
	return e, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ext4Sum is CRC-32C without the inversions before and after.
func ext4Sum(seed uint32, b []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, b)
}

func (e *ext4FS) block(n int64) ([]byte, error) {
	b := make([]byte, e.blockSize)
	if n <= 0 || n >= e.blocks {
		return nil, fmt.Errorf("block %d of %d", n, e.blocks)
	}
	_, err := e.r.ReadAt(b, n*e.blockSize)
	return b, err
}

func (e *ext4FS) checkGroups() error {
	groups := (e.blocks - e.firstBlock + e.blocksPerGroup - 1) / e.blocksPerGroup
	all := make([]byte, groups*e.descSize)
	if _, err := e.r.ReadAt(all, (e.firstBlock+1)*e.blockSize); err != nil {
		return fmt.Errorf("reading the group descriptors: %w", err)
	}
	for g := range groups {
		if err := e.checkGroup(g, all[g*e.descSize:][:e.descSize]); err != nil {
			return fmt.Errorf("block group %d: %w", g, err)
		}
	}
	return nil
}

// A group is a group descriptor.
type group struct {
	raw []byte
}

// number joins the two halves of a field.
func (g group) number(low, high int) int64 {
	n := int64(binary.LittleEndian.Uint32(g.raw[low:]))
	if len(g.raw) >= 64 {
		n |= int64(binary.LittleEndian.Uint32(g.raw[high:])) << 32
	}
	return n
}

// sum joins the two halves of a bitmap's checksum. A descriptor of 32 bytes has only
// the low one.
func (g group) sum(low, high int) (sum, mask uint32) {
	sum, mask = uint32(binary.LittleEndian.Uint16(g.raw[low:])), 0xffff
	if len(g.raw) >= 64 {
		sum, mask = sum|uint32(binary.LittleEndian.Uint16(g.raw[high:]))<<16, ^uint32(0)
	}
	return sum, mask
}

func (e *ext4FS) checkGroup(n int64, raw []byte) error {
	le := binary.LittleEndian
	sum := ext4Sum(e.seed, le.AppendUint32(nil, uint32(n)))
	sum = ext4Sum(sum, raw[:0x1e])
	sum = ext4Sum(sum, []byte{0, 0})
	sum = ext4Sum(sum, raw[0x20:])
	if uint16(sum) != le.Uint16(raw[0x1e:]) {
		return errors.New("the descriptor's checksum is wrong")
	}
	g := group{raw}
	flags := le.Uint16(raw[0x12:])
	if flags&ext4BlkUninit == 0 {
		if _, err := e.bitmap(g.number(0, 0x20), e.blocksPerGroup/8, g, 0x18, 0x38); err != nil {
			return fmt.Errorf("block bitmap: %w", err)
		}
	}
	if flags&ext4InoUninit != 0 {
		return nil
	}
	used, err := e.bitmap(g.number(4, 0x24), e.inodesPerGroup/8, g, 0x1a, 0x3a)
	if err != nil {
		return fmt.Errorf("inode bitmap: %w", err)
	}
	return e.checkInodes(n, g.number(8, 0x28), used)
}

// bitmap reads a bitmap of size bytes and verifies its checksum.
func (e *ext4FS) bitmap(block, size int64, g group, low, high int) ([]byte, error) {
	b, err := e.block(block)
	if err != nil {
		return nil, err
	}
	want, mask := g.sum(low, high)
	if ext4Sum(e.seed, b[:size])&mask != want {
		return nil, errors.New("its checksum is wrong")
	}
	return b[:size], nil
}

// checkInodes verifies the checksums of the inodes that the bitmap used marks.
func (e *ext4FS) checkInodes(group, table int64, used []byte) error {
	last := -1
	for i := range int(e.inodesPerGroup) {
		if used[i/8]>>(i%8)&1 == 1 {
			last = i
		}
	}
	raw := make([]byte, int64(last+1)*e.inodeSize)
	if _, err := e.r.ReadAt(raw, table*e.blockSize); err != nil && len(raw) > 0 {
		return fmt.Errorf("reading the inode table: %w", err)
	}
	for i := range last + 1 {
		number := uint32(group*e.inodesPerGroup) + uint32(i) + 1
		inode := raw[int64(i)*e.inodeSize:][:e.inodeSize]
		if used[i/8]>>(i%8)&1 == 1 && !e.inodeHolds(number, inode) {
			return fmt.Errorf("inode %d: its checksum is wrong", number)
		}
	}
	return nil
}

// inodeHolds verifies an inode's checksum. A reserved inode may be all zeros: it was
// never written.
func (e *ext4FS) inodeHolds(number uint32, b []byte) bool {
	const low, high, extra = 0x7c, 0x82, 0x80
	le := binary.LittleEndian
	if number < 11 && le.Uint16(b) == 0 && le.Uint16(b[0x1a:]) == 0 {
		return true
	}
	sum := ext4Sum(e.seed, le.AppendUint32(nil, number))
	sum = ext4Sum(sum, le.AppendUint32(nil, le.Uint32(b[0x64:])))
	sum = ext4Sum(sum, b[:low])
	sum = ext4Sum(sum, []byte{0, 0})
	sum = ext4Sum(sum, b[low+2:min(128, len(b))])
	if len(b) <= 128 {
		return uint16(sum) == le.Uint16(b[low:])
	}
	hasHigh := le.Uint16(b[extra:]) >= 4
	sum = ext4Sum(sum, b[128:high])
	if !hasHigh {
		sum = ext4Sum(sum, b[high:])
		return uint16(sum) == le.Uint16(b[low:])
	}
	sum = ext4Sum(sum, []byte{0, 0})
	sum = ext4Sum(sum, b[high+2:])
	return sum == uint32(le.Uint16(b[low:]))|uint32(le.Uint16(b[high:]))<<16
}
