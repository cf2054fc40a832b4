// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
)

// blockSize is the granularity of holes, in bytes.
const blockSize = 4096

var zeroBlock [blockSize]byte

// An extent is a range of the disk that is data.
type extent struct{ start, end int64 }

type extents []extent

// add records a range. Ranges come in any order and may touch or overlap.
func (e *extents) add(start, end int64) {
	if n := len(*e); n > 0 && (*e)[n-1].end == start {
		(*e)[n-1].end = end
		return
	}
	*e = append(*e, extent{start, end})
}

func (e extents) overlap(start, end int64) bool {
	return slices.ContainsFunc(e, func(x extent) bool { return x.start < end && start < x.end })
}

// minHole, in bytes, is the smallest hole that separates two extents. A smaller hole
// counts as data.
const minHole = 1 << 20

// merged returns the extents sorted, without overlaps and without holes smaller than
// hole.
func (e extents) merged(hole int64) extents {
	var out extents
	for _, x := range slices.SortedFunc(slices.Values(e), func(a, b extent) int { return cmp.Compare(a.start, b.start) }) {
		if n := len(out); n > 0 && x.start < out[n-1].end+hole {
			out[n-1].end = max(out[n-1].end, x.end)
			continue
		}
		out = append(out, x)
	}
	return out
}

func (e extents) bytes() int64 {
	var n int64
	for _, x := range e.merged(1) {
		n += x.end - x.start
	}
	return n
}

// A target is the part of the disk that a region may write. It leaves holes
// for blocks of zeros and records the rest. Offsets are those of the disk.
type target struct {
	ctx    context.Context
	file   *os.File
	region *region
}

// WriteAt implements io.WriterAt.
func (t *target) WriteAt(p []byte, offset int64) (int, error) {
	if err := t.claim(offset, int64(len(p))); err != nil {
		return 0, err
	}
	for done := 0; done < len(p); {
		zeros, data := t.split(p[done:], offset+int64(done))
		done += zeros
		if data > 0 {
			if err := t.put(p[done:done+data], offset+int64(done)); err != nil {
				return done, err
			}
			done += data
		}
	}
	return len(p), nil
}

func (t *target) put(p []byte, offset int64) error {
	if _, err := t.file.WriteAt(p, offset); err != nil {
		return err
	}
	t.region.extents.add(offset, offset+int64(len(p)))
	return nil
}

// claim refuses a write outside of the region, and any write after cancellation.
func (t *target) claim(offset, n int64) error {
	if offset < t.region.start || offset+n > t.region.end {
		return fmt.Errorf("BUG: %d bytes at %d are outside of %s, %d to %d", n, offset, t.region.name, t.region.start, t.region.end)
	}
	return context.Cause(t.ctx)
}

// split counts the zeros at the beginning of p that can stay a hole, and then the
// data up to the next such zeros. Blocks are those of the file.
func (t *target) split(p []byte, offset int64) (zeros, data int) {
	at := 0
	next := func() []byte { return p[at:min(len(p), at+blockSize-int((offset+int64(at))%blockSize))] }
	hole := func(b []byte) bool {
		return bytes.Equal(b, zeroBlock[:len(b)]) && !t.region.extents.overlap(offset+int64(at), offset+int64(at+len(b)))
	}
	for at < len(p) && hole(next()) {
		at += len(next())
	}
	zeros = at
	for at < len(p) && !hole(next()) {
		at += len(next())
	}
	return zeros, at - zeros
}
