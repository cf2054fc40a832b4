// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"fmt"
	"io"
)

// A Stream is an io.WriterAt that hashes the data of its writes, so that the tree
// needs no second read of the data. Writes are whole blocks, and do not overlap in
// time. Each begins at or before the end of the data so far: a block may be written
// again, even the first one at the very end.
type Stream struct {
	w      io.WriterAt
	p      Params
	h      *hasher
	leaves []byte
}

// NewStream passes writes on to w.
func NewStream(w io.WriterAt, p Params) *Stream {
	return &Stream{w: w, p: p, h: newHasher(p.Salt[:])}
}

// WriteAt writes b at off while another processor hashes it.
func (s *Stream) WriteAt(b []byte, off int64) (int, error) {
	end := int64(len(s.leaves) / HashSize * BlockSize)
	if off < 0 || off > end || off%BlockSize != 0 || len(b)%BlockSize != 0 {
		return 0, fmt.Errorf("BUG: writing %d bytes at offset %d of a verity stream: want whole blocks, at most at %d", len(b), off, end)
	}
	first := int(off / BlockSize * HashSize)
	if need := first + len(b)/BlockSize*HashSize; need > len(s.leaves) {
		s.leaves = append(s.leaves, make([]byte, need-len(s.leaves))...)
	}
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		s.h.blocks(s.leaves[first:], b)
	}()
	n, err := s.w.WriteAt(b, off)
	<-hashed
	return n, err
}

// Close writes the superblock and the tree after the data. It does not close the
// writer below.
func (s *Stream) Close() (Tree, error) {
	if err := checkDataSize(int64(len(s.leaves) / HashSize * BlockSize)); err != nil {
		return Tree{}, err
	}
	return writeTree(s.w, s.leaves, s.p)
}
