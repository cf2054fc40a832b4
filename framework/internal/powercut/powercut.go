// SPDX-License-Identifier: Apache-2.0

// Package powercut is for tests: a disk in memory that remembers the order of its
// writes and flushes, and gives the contents that a power cut can leave on a real
// disk.
//
// A disk writes a sector of 512 bytes as a whole or not at all. Between two
// flushes it writes in any order. So a power cut leaves everything up to a flush,
// and any subset of the sectors after it. All subsets are too many: States gives
// every prefix, every state with one sector missing, and random subsets.
package powercut

import (
	"fmt"
	"io"
	"iter"
	"maps"
)

const sectorSize = 512

// A Disk is the content of a device. It is an io.ReaderAt and an io.WriterAt with a
// Sync. It refuses writes of anything but whole sectors.
type Disk struct {
	base   []byte // shared, never changed
	now    map[int64][]byte
	epochs []epoch // the last one is not flushed
	// Cut is the number of flushes before the power cut, on a disk from States.
	Cut int
	// Kept is the number of sectors on it that were written after those flushes.
	Kept int
}

// An epoch holds the writes between two flushes, split into sectors.
type epoch []write

type write struct {
	sector int64
	data   []byte
}

// New makes a disk that holds image. The caller must not change image any more.
func New(image []byte) *Disk {
	return &Disk{base: image, now: map[int64][]byte{}, epochs: []epoch{nil}}
}

// Size in bytes.
func (d *Disk) Size() int64 { return int64(len(d.base)) }

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(p)) > d.Size() {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, d.base[offset:])
	for s := offset / sectorSize; s*sectorSize < offset+int64(n); s++ {
		data, ok := d.now[s]
		if !ok {
			continue
		}
		if at := s*sectorSize - offset; at < 0 {
			copy(p, data[-at:])
		} else {
			copy(p[at:], data)
		}
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (d *Disk) WriteAt(p []byte, offset int64) (int, error) {
	if offset%sectorSize != 0 || len(p)%sectorSize != 0 || offset < 0 || offset+int64(len(p)) > d.Size() {
		return 0, fmt.Errorf("a write of %d bytes at %d: want whole sectors of a disk of %d bytes", len(p), offset, d.Size())
	}
	last := &d.epochs[len(d.epochs)-1]
	for at := 0; at < len(p); at += sectorSize {
		w := write{(offset + int64(at)) / sectorSize, append([]byte(nil), p[at:at+sectorSize]...)}
		*last = append(*last, w)
		d.now[w.sector] = w.data
	}
	return len(p), nil
}

// Sync is a flush.
func (d *Disk) Sync() error {
	d.epochs = append(d.epochs, nil)
	return nil
}

// Pending is the number of sectors that were written and not flushed.
func (d *Disk) Pending() int { return len(d.epochs[len(d.epochs)-1]) }

// Flushes is the number of flushes.
func (d *Disk) Flushes() int { return len(d.epochs) - 1 }

// Written lists the numbers of the sectors that were written before each flush; the
// last list has those that were not flushed.
func (d *Disk) Written() [][]int64 {
	lists := make([][]int64, len(d.epochs))
	for i, e := range d.epochs {
		for _, w := range e {
			lists[i] = append(lists[i], w.sector)
		}
	}
	return lists
}

// States gives the disks that a power cut can leave, each with a text that says when
// the power was cut. Every flush has at most that many random subsets; the same seed
// gives the same ones.
func (d *Disk) States(subsets int, seed uint64) iter.Seq2[string, *Disk] {
	random := coin(seed | 1)
	return func(yield func(string, *Disk) bool) {
		settled := map[int64][]byte{}
		for i, e := range d.epochs {
			for name, chosen := range e.choices(subsets, &random) {
				if !yield(fmt.Sprintf("flush %d, %s of %d sectors", i, name, len(e)), d.with(i, settled, e, chosen)) {
					return
				}
			}
			for _, w := range e {
				settled[w.sector] = w.data
			}
		}
		yield("the end", d.with(len(d.epochs), settled, nil, nil))
	}
}

// choices gives sets of writes, as functions that tell whether a write is in the
// set.
func (e epoch) choices(subsets int, random *coin) iter.Seq2[string, func(int) bool] {
	return func(yield func(string, func(int) bool) bool) {
		for n := range e {
			if !yield(fmt.Sprintf("the first %d", n), func(i int) bool { return i < n }) ||
				!yield(fmt.Sprintf("all but %d", n), func(i int) bool { return i != n }) {
				return
			}
		}
		for n := range min(subsets, 1<<min(len(e), 20)) {
			in := make([]bool, len(e))
			for i := range in {
				in[i] = random.toss()
			}
			if !yield(fmt.Sprintf("random subset %d", n), func(i int) bool { return in[i] }) {
				return
			}
		}
	}
}

func (d *Disk) with(cut int, settled map[int64][]byte, e epoch, chosen func(int) bool) *Disk {
	state := New(d.base)
	state.Cut = cut
	state.now = maps.Clone(settled)
	for i, w := range e {
		if chosen(i) {
			state.now[w.sector] = w.data
			state.Kept++
		}
	}
	return state
}

// A coin is the generator xorshift64*: the same seed, the same states.
type coin uint64

func (c *coin) toss() bool {
	*c ^= *c >> 12
	*c ^= *c << 25
	*c ^= *c >> 27
	return *c*0x2545f4914f6cdd1d>>63 == 1
}
