// SPDX-License-Identifier: Apache-2.0

package ext4

import "fmt"

// An extent is a run of blocks.
type extent struct{ start, count int64 }

const (
	maxExtentBlocks = 32768 // a greater length means "unwritten"
	inlineExtents   = 4     // extents that fit into an inode
)

// A bitmap belongs to a group; a set bit is a block or inode in use.
type bitmap [blockSize]byte

func (b *bitmap) set(i int64)      { b[i/8] |= 1 << (i % 8) }
func (b *bitmap) has(i int64) bool { return b[i/8]&(1<<(i%8)) != 0 }

func (b *bitmap) setRange(from, to int64) {
	for i := from; i < to; i++ {
		b.set(i)
	}
}

// An allocator gives out blocks in ascending order.
type allocator struct {
	geometry
	used []bitmap
	free []int64 // by group
	next int64   // no block below it is free
}

func newAllocator(g geometry) *allocator {
	a := &allocator{geometry: g, used: make([]bitmap, g.groups), free: make([]int64, g.groups)}
	for group := range g.groups {
		a.used[group].setRange(0, g.overhead(group))
		a.used[group].setRange(g.groupBlocks(group), blocksPerGroup)
		a.free[group] = g.groupBlocks(group) - g.overhead(group)
	}
	return a
}

// take allocates n blocks, with adjacent blocks in one extent.
func (a *allocator) take(n int64) ([]extent, error) {
	var list []extent
	for wanted := n; n > 0; a.next++ {
		if a.next >= a.blocks {
			return nil, fmt.Errorf("%w: %d of %d blocks of 4 KiB are missing", ErrFull, n, wanted)
		}
		group, bit := a.next/blocksPerGroup, a.next%blocksPerGroup
		if a.used[group].has(bit) {
			continue
		}
		a.used[group].set(bit)
		a.free[group]--
		list = appendBlock(list, a.next)
		n--
	}
	return list, nil
}

func appendBlock(list []extent, block int64) []extent {
	if len(list) > 0 {
		last := &list[len(list)-1]
		if last.start+last.count == block && last.count < maxExtentBlocks {
			last.count++
			return list
		}
	}
	return append(list, extent{start: block, count: 1})
}

func countBlocks(list []extent) int64 {
	var n int64
	for _, e := range list {
		n += e.count
	}
	return n
}
