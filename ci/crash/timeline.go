// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"io"
	"sync"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
)

// SectorSize is the size in bytes that a disk writes whole or not at all.
const SectorSize = 512

// A Write is one write of the log, in sectors of the disk.
type Write struct {
	First, End int64 // sectors; End is behind the last one
	FUA        bool
	data       int64 // offset in the log, or -1 for zeros
}

// A Timeline is a disk and all later writes to it. It does not change, and is safe for
// concurrent use if its files are.
type Timeline struct {
	Size   int64 // bytes of the disk
	Writes []Write
	// Epochs has the number of the first write of each epoch, and then the number of
	// writes. No epoch is empty.
	Epochs []int

	base, log io.ReaderAt
	index     index

	mu     sync.Mutex
	ranges map[[2]int64][]int // numbers of the writes to a range, ascending
}

// NewTimeline reads a log of logSize bytes. The disk has size bytes; bytes behind the
// end of base read as zeros. A write behind the end of the disk is an error: the log
// belongs to another disk.
func NewTimeline(base io.ReaderAt, size int64, log io.ReaderAt, logSize int64) (*Timeline, error) {
	entries, err := writelog.ReadAll(log, logSize)
	if err != nil {
		return nil, err
	}
	t := &Timeline{Size: size / SectorSize * SectorSize, base: base, log: log, ranges: map[[2]int64][]int{}}
	for _, e := range entries {
		if e.Offset+e.Size > size {
			return nil, fmt.Errorf("the log has a write of %d bytes at %d, the disk %d bytes: is this the disk that it was recorded on?", e.Size, e.Offset, size)
		}
		t.add(e)
	}
	t.flush()
	if len(t.Epochs) == 0 {
		t.Epochs = []int{0}
	}
	t.index = newIndex(t.Writes)
	return t, nil
}

func (t *Timeline) add(e writelog.Entry) {
	if e.Flags&writelog.Flush != 0 {
		t.flush()
	}
	if e.Size == 0 {
		return
	}
	if len(t.Epochs) == 0 {
		t.Epochs = []int{0}
	}
	t.Writes = append(t.Writes, Write{
		First: e.Offset / SectorSize,
		End:   (e.Offset + e.Size) / SectorSize,
		FUA:   e.Flags&writelog.FUA != 0,
		data:  e.Data,
	})
}

// flush ends the epoch, if it has writes.
func (t *Timeline) flush() {
	if n := len(t.Writes); n > 0 && t.Epochs[len(t.Epochs)-1] != n {
		t.Epochs = append(t.Epochs, n)
	}
}

// EpochCount is the number of epochs.
func (t *Timeline) EpochCount() int { return len(t.Epochs) - 1 }

// epoch returns the number of the first write of an epoch, and the number of its last
// write plus 1. The epoch behind the last one is empty.
func (t *Timeline) epoch(k int) (start, end int) {
	return t.Epochs[k], t.Epochs[min(k+1, len(t.Epochs)-1)]
}

// overlapping returns the numbers of the writes to a range of bytes.
func (t *Timeline) overlapping(off, size int64) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]int64{off, size}
	list, ok := t.ranges[key]
	if !ok {
		for i, w := range t.Writes {
			if w.First*SectorSize < off+size && w.End*SectorSize > off {
				list = append(list, i)
			}
		}
		t.ranges[key] = list
	}
	return list
}
