// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"fmt"
	"slices"
)

// openBlocks is how many unfinished metadata blocks put tries for the next inode:
// enough to leave hardly any gap.
const openBlocks = 16

// A packer gives inodes their place in the metadata area.
type packer struct {
	blocks int64 // blocks of the area so far
	open   []gap // oldest first
}

// A gap is the free end of a block.
type gap struct{ block, used int64 }

// place puts the inodes into blocks: each into the first open block that has room
// for all of it, so that no inode crosses the end of a block unless it is longer.
func (w *Writer) place(inodes []*inode) error {
	p := packer{blocks: 1, open: []gap{{used: slotSize}}}
	for _, n := range inodes {
		n.offset = p.put(int64(w.fixedSize(n) + len(n.xattrs) + n.inlineSize()))
	}
	if nid := w.root.nid(); nid > 0xffff {
		return fmt.Errorf("BUG: the root directory has the nid %d, beyond 16 bits", nid)
	}
	return nil
}

// put returns the offset for size bytes. An inode that is longer than a block, as it
// has many xattrs, starts at the start of a block.
func (p *packer) put(size int64) int64 {
	size = (size + slotSize - 1) / slotSize * slotSize
	for i, g := range p.open {
		if g.used+size <= BlockSize {
			return p.fill(i, size)
		}
	}
	first := p.blocks
	p.blocks += (size + BlockSize - 1) / BlockSize
	if used := size % BlockSize; used != 0 {
		p.open = append(p.open, gap{block: p.blocks - 1, used: used})
	}
	if len(p.open) > openBlocks {
		p.open = slices.Delete(p.open, 0, 1)
	}
	return first * BlockSize
}

func (p *packer) fill(i int, size int64) int64 {
	g := &p.open[i]
	off := g.block*BlockSize + g.used
	if g.used += size; g.used == BlockSize {
		p.open = slices.Delete(p.open, i, i+1)
	}
	return off
}
