// SPDX-License-Identifier: Apache-2.0

package ext4

import "encoding/binary"

// The resize inode owns the reserved descriptor blocks, so that no file takes them,
// and tells the kernel where they are when it grows a mounted file system. It is a
// file mapped in the old way with a double indirect block only. That block has an
// entry for each reserved descriptor block, which points to the block itself in
// group 0. The block serves as the indirect block that lists its copies in the
// groups with backups. See lib/ext2fs/res_gdt.c in e2fsprogs.

// resizeBlocks returns how many blocks the resize inode owns: the double indirect
// block, and each reserved block with its copies.
func (g geometry) resizeBlocks() int64 {
	return 1 + g.reservedGDT*(1+int64(len(g.backups())))
}

// resizeSize returns the nominal length in bytes: the most that direct, indirect and
// double indirect blocks can map.
func resizeSize() int64 {
	return (pointersPerBlock*pointersPerBlock + pointersPerBlock + 12) * blockSize
}

func (g geometry) reservedBlock(n int64) int64 { return 1 + g.gdt + n }

func (g geometry) resizeDouble() []byte {
	p := make([]byte, blockSize)
	for n := range g.reservedGDT {
		slot := (g.gdt + n) % pointersPerBlock
		binary.LittleEndian.PutUint32(p[slot*4:], uint32(g.reservedBlock(n)))
	}
	return p
}

func (g geometry) resizeIndirect(n int64) []byte {
	p := make([]byte, 0, blockSize)
	for _, group := range g.backups() {
		p = binary.LittleEndian.AppendUint32(p, uint32(g.start(group)+g.reservedBlock(n)))
	}
	return p[:blockSize]
}
