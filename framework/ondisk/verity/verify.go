// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Verify reads the tree and all data of r, on every processor, and checks them
// against t.RootHash. It takes the salt from the superblock, whose size must agree
// with t. It checks the hash blocks first, from the root down. The error for wrong
// blocks is a *BlockError with the first one.
func Verify(ctx context.Context, r io.ReaderAt, t Tree) error {
	if err := checkDataSize(t.DataSize); err != nil {
		return err
	}
	sb, err := ReadSuperblock(r, t.HashOffset)
	if err != nil {
		return err
	}
	if sb.DataBlocks*BlockSize != t.DataSize {
		return fmt.Errorf("verity superblock at offset %d is for %d bytes of data, want %d: %w",
			t.HashOffset, sb.DataBlocks*BlockSize, t.DataSize, ErrCorrupt)
	}
	leaves, err := verifyTree(ctx, r, t, sb.Salt)
	if err != nil {
		return err
	}
	return eachChunk(ctx, t.DataSize, func() chunkFunc {
		v := verifier{r: r, h: newHasher(sb.Salt), buf: make([]byte, chunkSize)}
		return func(off, n int64) error {
			return v.check(off, n, leaves[off/BlockSize*HashSize:])
		}
	})
}

// verifyTree checks the hash blocks from the root down and returns the hashes
// of the data blocks.
func verifyTree(ctx context.Context, r io.ReaderAt, t Tree, salt []byte) ([]byte, error) {
	counts := levels(t.DataSize / BlockSize)
	off := t.HashOffset + BlockSize
	want := t.RootHash[:]
	for _, count := range slices.Backward(counts) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := verifier{r: r, h: newHasher(salt), buf: make([]byte, count*BlockSize)}
		if err := v.check(off, count*BlockSize, want); err != nil {
			if bad, ok := errors.AsType[*BlockError](err); ok {
				bad.Hash = true
			}
			return nil, err
		}
		off += count * BlockSize
		want = v.buf
	}
	return want, nil
}

type verifier struct {
	r   io.ReaderAt
	h   *hasher
	buf []byte
}

// check compares the hashes of n bytes at off with want.
func (v *verifier) check(off, n int64, want []byte) error {
	if err := readFull(v.r, v.buf[:n], off); err != nil {
		return err
	}
	var got [HashSize]byte
	for i := range n / BlockSize {
		v.h.block(got[:], v.buf[i*BlockSize:(i+1)*BlockSize])
		if !bytes.Equal(got[:], want[i*HashSize:(i+1)*HashSize]) {
			return &BlockError{Block: off/BlockSize + i, Offset: off + i*BlockSize}
		}
	}
	return nil
}
