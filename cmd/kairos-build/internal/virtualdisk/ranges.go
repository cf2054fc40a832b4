// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import "github.com/kairos-build/kairos-build/framework/install/disk"

const (
	// chunkSize is the size of the pieces of a pass, in bytes.
	chunkSize = 1 << 20
	// blockSize is the granularity of extents, in bytes.
	blockSize = 4096
)

// A span is a range of the disk, in bytes.
type span struct{ start, end int64 }

// spans are in order, and do not touch.
type spans []span

// ranges are the extents, enlarged to multiples of unit.
func ranges(extents []disk.Extent, unit int64) spans {
	var all spans
	for _, e := range extents {
		start, end := e.Offset/unit*unit, roundUp(e.Offset+e.Size, unit)
		if n := len(all); n > 0 && start <= all[n-1].end {
			all[n-1].end = end
			continue
		}
		all = append(all, span{start, end})
	}
	return all
}

func (s spans) size() int64 {
	n := int64(0)
	for _, x := range s {
		n += x.end - x.start
	}
	return n
}

// within are the parts of s in a range.
func (s spans) within(start, end int64) spans {
	var parts spans
	for _, x := range s {
		if from, to := max(x.start, start), min(x.end, end); from < to {
			parts = append(parts, span{from, to})
		}
	}
	return parts
}

// each calls do for every unit of s, in order. unit divides all starts and ends.
func (s spans) each(unit int64, do func(offset int64)) {
	for _, x := range s {
		for at := x.start; at < x.end; at += unit {
			do(at)
		}
	}
}

// twins finds the chunks that repeat an earlier one: from the offset of a chunk to the
// offset of the earlier one. Only chunks that lie in an extent as a whole count.
func twins(extents []disk.Extent) map[int64]int64 {
	type content struct {
		digest string
		size   int64
	}
	first, all := map[content]int64{}, map[int64]int64{}
	for _, e := range extents {
		key := content{e.SHA256, e.Size}
		earlier, seen := first[key]
		switch {
		case e.SHA256 == "":
		case !seen:
			first[key] = e.Offset
		case (e.Offset-earlier)%chunkSize == 0:
			for at := roundUp(e.Offset, chunkSize); at+chunkSize <= e.Offset+e.Size; at += chunkSize {
				all[at] = at - e.Offset + earlier
			}
		}
	}
	return all
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
