// SPDX-License-Identifier: Apache-2.0

// Package verity writes and checks dm-verity hash trees that lie after the data
// they protect, in the format of veritysetup. It owns the superblock and the tree;
// it knows nothing of device-mapper tables or of file systems.
//
// The layout, all in blocks of 4096 bytes, with SHA-256 and hash type 1:
//
//	0            data, DataSize bytes
//	HashOffset   superblock: 512 bytes, then zeros up to the end of the block
//	             level L-1: one hash block, whose hash is the root hash
//	             ...
//	             level 0: the hashes of the data blocks, 128 to a hash block
//	Size         end
//
// HashOffset equals DataSize. A hash is SHA-256 of the salt followed by the
// 4096 bytes of the block; hashes stand one after the other, and the rest of a
// level's last block is zero. Data of a single block has no levels at all: the
// root hash is the hash of that block.
//
// The superblock is little endian:
//
//	 0  8  "verity" and two zeros
//	 8  4  version, 1
//	12  4  hash type, 1 (salt before data)
//	16 16  UUID
//	32 32  algorithm, "sha256", padded with zeros
//	64  4  data block size in bytes
//	68  4  hash block size in bytes
//	72  8  number of data blocks
//	80  2  length of the salt in bytes
//	88 256 salt
//
// Sources: Documentation/admin-guide/device-mapper/verity.rst in Linux, and
// the DMVerity page of the cryptsetup wiki.
package verity

const (
	// BlockSize is the size, in bytes, of data and hash blocks.
	BlockSize = 4096
	// HashSize is the size, in bytes, of a hash.
	HashSize = 32

	hashesPerBlock = BlockSize / HashSize
	// chunkSize is how much one goroutine reads and hashes at a time.
	chunkSize = 256 * BlockSize
)

// Params are the inputs of a tree besides the data. The root hash depends only on
// the salt and the data.
type Params struct {
	Salt [32]byte
	UUID [16]byte
}

// A Tree says where a hash tree is and what its root hash is. Sizes and
// offsets are in bytes from the start of the data.
type Tree struct {
	RootHash   [HashSize]byte
	DataSize   int64 // of the protected data
	HashOffset int64 // of the superblock; equal to DataSize
	Size       int64 // data, superblock and tree
}

// NewTree returns the tree of dataSize bytes with a known root hash, as on a node,
// which reads the hash and the offset from its kernel command line.
func NewTree(dataSize int64, rootHash [HashSize]byte) (Tree, error) {
	if err := checkDataSize(dataSize); err != nil {
		return Tree{}, err
	}
	size := dataSize + BlockSize
	for _, blocks := range levels(dataSize / BlockSize) {
		size += blocks * BlockSize
	}
	return Tree{RootHash: rootHash, DataSize: dataSize, HashOffset: dataSize, Size: size}, nil
}

// levels returns the number of hash blocks of each level, from the leaves up.
func levels(dataBlocks int64) []int64 {
	var l []int64
	for n := dataBlocks; n > 1; {
		n = (n + hashesPerBlock - 1) / hashesPerBlock
		l = append(l, n)
	}
	return l
}
