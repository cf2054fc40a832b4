// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// A View is the disk of one state. Nothing is copied; it is safe for concurrent
// use.
type View struct {
	t     *Timeline
	state State
	start int // number of the first write of the state's epoch
}

// View returns the disk of a state.
func (t *Timeline) View(s State) *View {
	start, _ := t.epoch(s.Epoch)
	return &View{t: t, state: s, start: start}
}

// End is the disk after the last write.
func (t *Timeline) End() *View { return t.View(State{Number: t.EpochCount(), Epoch: t.EpochCount()}) }

// Size is the size of the disk in bytes.
func (v *View) Size() int64 { return v.t.Size }

// ReadAt implements io.ReaderAt.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading the disk at %d: negative offset", off)
	}
	done := 0
	for done < len(p) && off < v.t.Size {
		source, until := v.source(off/SectorSize, v.t.Size/SectorSize)
		n := int(min(int64(len(p)-done), until*SectorSize-off))
		if err := v.read(p[done:done+n], off, source); err != nil {
			return done, err
		}
		done += n
		off += int64(n)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// source returns the number of the write that filled a sector, or -1 for the base disk.
// The same answer holds for all sectors before until.
func (v *View) source(sector, limit int64) (write int, until int64) {
	list, until := v.t.index.at(sector, limit)
	end := v.start + len(v.state.Fates)
	i := sort.Search(len(list), func(i int) bool { return int(list[i]) >= end }) - 1
	for ; i >= 0; i-- {
		n := int(list[i])
		if n < v.start {
			return n, until
		}
		has, same := v.state.Fates[n-v.start].has(v.t.Writes[n], sector)
		until = min(until, same)
		if has {
			return n, until
		}
	}
	return -1, until
}

// read fills p, which starts at off, from one source.
func (v *View) read(p []byte, off int64, source int) error {
	if source < 0 {
		n, err := v.t.base.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			clear(p[n:])
			err = nil
		}
		return err
	}
	w := v.t.Writes[source]
	if w.data < 0 {
		clear(p)
		return nil
	}
	_, err := v.t.log.ReadAt(p, w.data+off-w.First*SectorSize)
	return err
}

// An Identity names the contents of a range of the disk. Equal identities of one
// timeline mean equal contents; the reverse does not hold.
type Identity struct {
	off, size int64
	// writes counts the writes to the range that are there without a gap, from the first
	// one on. fates is a hash of the fates of the later writes.
	writes int
	fates  [16]byte
}

// Identity returns the identity of a range of bytes. It reads nothing.
func (v *View) Identity(off, size int64) Identity {
	list := v.t.overlapping(off, size)
	id := Identity{off: off, size: size}
	id.writes, _ = slices.BinarySearch(list, v.start)
	fate := func(i int) Fate { return v.state.Fates[list[i]-v.start] }
	end, _ := slices.BinarySearch(list, v.start+len(v.state.Fates))
	for end > id.writes && fate(end-1).Kind == Absent {
		end--
	}
	for id.writes < end && fate(id.writes).Kind == Whole {
		id.writes++
	}
	if id.writes == end {
		return id
	}
	h := sha256.New()
	var b [10]byte
	for i := id.writes; i < end; i++ {
		f := fate(i)
		b[0], b[1] = byte(f.Kind), byte(f.Unit)
		binary.LittleEndian.PutUint64(b[2:], f.Arg)
		h.Write(b[:])
	}
	copy(id.fates[:], h.Sum(nil))
	return id
}
