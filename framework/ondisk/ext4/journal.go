// SPDX-License-Identifier: Apache-2.0

package ext4

import "encoding/binary"

const (
	journalMagic   = 0xC03B3998
	journalSuperV2 = 4
)

// journalSuper is the start of the journal's superblock, big-endian; the rest
// of its block and all other blocks of an empty journal are zeros.
type journalSuper struct {
	Magic, BlockType, HeaderSequence uint32
	BlockSize, Blocks, First         uint32
	Sequence, Start, Errno           uint32
	Compat, Incompat, ROCompat       uint32
	UUID                             [16]byte
	Users                            uint32
}

// emptyJournal returns the first block of a journal with nothing to replay. At the
// first mount the kernel turns on checksums in it, as the file system has
// metadata_csum.
func emptyJournal(blocks int64) []byte {
	p := make([]byte, blockSize)
	mustEncode(p, binary.BigEndian, &journalSuper{
		Magic:     journalMagic,
		BlockType: journalSuperV2,
		BlockSize: blockSize,
		Blocks:    uint32(blocks),
		First:     1,
		Sequence:  1,
		Users:     1,
	})
	return p
}
