// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"context"
	"fmt"
	"io"
)

// Write hashes the first dataSize bytes of rw, on every processor, and writes
// the superblock and the tree right after them. dataSize is a positive multiple of
// BlockSize. It needs memory for 1/128 of the data and a megabyte for each
// processor.
func Write(ctx context.Context, rw interface {
	io.ReaderAt
	io.WriterAt
}, dataSize int64, p Params) (Tree, error) {
	if err := checkDataSize(dataSize); err != nil {
		return Tree{}, err
	}
	leaves := make([]byte, dataSize/BlockSize*HashSize)
	err := eachChunk(ctx, dataSize, func() chunkFunc {
		h, buf := newHasher(p.Salt[:]), make([]byte, chunkSize)
		return func(off, n int64) error {
			if err := readFull(rw, buf[:n], off); err != nil {
				return err
			}
			h.blocks(leaves[off/BlockSize*HashSize:], buf[:n])
			return nil
		}
	})
	if err != nil {
		return Tree{}, err
	}
	return writeTree(rw, leaves, p)
}

// writeTree writes the superblock and the tree after the data.
func writeTree(w io.WriterAt, leaves []byte, p Params) (Tree, error) {
	blocks := int64(len(leaves) / HashSize)
	root, levels := build(leaves, p.Salt[:])
	t, err := NewTree(blocks*BlockSize, root)
	if err != nil {
		return Tree{}, err
	}
	sb := Superblock{UUID: p.UUID, DataBlocks: blocks, Salt: p.Salt[:]}
	off := t.HashOffset
	for _, b := range append([][]byte{sb.marshal()}, levels...) {
		if _, err := w.WriteAt(b, off); err != nil {
			return Tree{}, fmt.Errorf("writing verity tree at offset %d: %w", off, err)
		}
		off += int64(len(b))
	}
	return t, nil
}
