// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"crypto/sha256"
	"hash"
)

// A hasher hashes blocks with one salt. It is not safe for concurrent use.
type hasher struct {
	h    hash.Hash
	salt []byte
}

func newHasher(salt []byte) *hasher { return &hasher{h: sha256.New(), salt: salt} }

// block hashes one block into dst, which has HashSize bytes.
func (h *hasher) block(dst, b []byte) {
	h.h.Reset()
	h.h.Write(h.salt)
	h.h.Write(b)
	h.h.Sum(dst[:0])
}

// blocks hashes each block of data into dst, HashSize bytes for each.
func (h *hasher) blocks(dst, data []byte) {
	for i := 0; i*BlockSize < len(data); i++ {
		h.block(dst[i*HashSize:(i+1)*HashSize], data[i*BlockSize:(i+1)*BlockSize])
	}
}

// build makes the levels above the leaves, and returns the root hash and the tree in
// the order on disk: the root level first, the leaves last. leaves holds the hashes
// of the data blocks one after the other.
func build(leaves, salt []byte) (root [HashSize]byte, tree [][]byte) {
	h := newHasher(salt)
	level := leaves
	for len(level) > HashSize {
		level = padToBlock(level)
		tree = append([][]byte{level}, tree...)
		up := make([]byte, len(level)/BlockSize*HashSize)
		h.blocks(up, level)
		level = up
	}
	copy(root[:], level)
	return root, tree
}

func padToBlock(b []byte) []byte {
	if n := len(b) % BlockSize; n != 0 {
		return append(b, make([]byte, BlockSize-n)...)
	}
	return b
}
