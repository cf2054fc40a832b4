// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"slices"
	"sort"
)

// An index finds the writes to a sector. It divides the disk into segments at the
// beginning and end of every write, so each write covers a segment wholly or not at
// all.
type index struct {
	bounds []int64   // sectors, ascending
	writes [][]int32 // to the segment from bounds[i] to bounds[i+1], in log order
}

func newIndex(writes []Write) index {
	var x index
	for _, w := range writes {
		x.bounds = append(x.bounds, w.First, w.End)
	}
	slices.Sort(x.bounds)
	x.bounds = slices.Compact(x.bounds)
	x.writes = make([][]int32, len(x.bounds))
	for i, w := range writes {
		at, _ := slices.BinarySearch(x.bounds, w.First)
		for ; x.bounds[at] < w.End; at++ {
			x.writes[at] = append(x.writes[at], int32(i))
		}
	}
	return x
}

// at returns the writes to a sector. The same answer holds for all sectors before
// until, which is at most limit.
func (x index) at(sector, limit int64) (writes []int32, until int64) {
	i := sort.Search(len(x.bounds), func(i int) bool { return x.bounds[i] > sector })
	if i < len(x.bounds) {
		limit = min(limit, x.bounds[i])
	}
	if i == 0 {
		return nil, limit
	}
	return x.writes[i-1], limit
}
