// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

const smallDisk = 64 * SectorSize

// small makes a timeline of a small disk with many overlapping writes. Every sector
// names its write.
func small(t *testing.T, seed uint64) *Timeline {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	log := &memory{}
	w := writelog.NewWriter(log)
	for n := range 40 {
		first := r.Int64N(64)
		count := 1 + r.Int64N(min(20, 64-first))
		data := bytes.Repeat(fmt.Appendf(nil, "%-16d", n), int(count)*SectorSize/16)
		switch r.IntN(6) {
		case 0:
			must(t, w.Discard(first*SectorSize, count*SectorSize))
		case 1:
			must(t, w.Flush())
		case 2:
			must(t, w.Write(first*SectorSize, data, writelog.FUA))
		default:
			must(t, w.Write(first*SectorSize, data, 0))
		}
	}
	must(t, w.Flush())
	base := bytes.Repeat([]byte("base disk here.\n"), smallDisk/16-100) // the rest is zeros
	timeline, err := NewTimeline(bytes.NewReader(base), smallDisk, log, int64(log.Len()))
	must(t, err)
	return timeline
}

// model makes the disk of a state the plain way: one write after the other.
func model(t *testing.T, tl *Timeline, s State) []byte {
	t.Helper()
	disk := make([]byte, smallDisk)
	_, _ = tl.base.ReadAt(disk, 0) // base is shorter
	start, _ := tl.epoch(s.Epoch)
	for i, w := range tl.Writes[:start+len(s.Fates)] {
		for sector := w.First; sector < w.End; sector++ {
			if i >= start && !there(s.Fates[i-start], w, sector) {
				continue
			}
			at := disk[sector*SectorSize:][:SectorSize]
			clear(at)
			if w.data >= 0 {
				_, err := tl.log.ReadAt(at, w.data+(sector-w.First)*SectorSize)
				must(t, err)
			}
		}
	}
	return disk
}

func there(f Fate, w Write, sector int64) bool {
	switch f.Kind {
	case Absent:
		return false
	case Whole:
		return true
	case Prefix:
		return sector/f.Unit < w.First/f.Unit+int64(f.Arg)
	}
	return mix(f.Arg+uint64(sector/f.Unit))&1 == 1
}

// TestView: a view equals the disk of model, wherever reading begins, and equal
// identities mean equal contents.
func TestView(t *testing.T) {
	for seed := range uint64(20) {
		tl := small(t, seed)
		contents := map[Identity][]byte{}
		for n := range 300 {
			s := tl.State(seed, n)
			v, want := tl.View(s), model(t, tl, s)
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			off := r.Int64N(smallDisk)
			got := make([]byte, 1+r.Int64N(smallDisk-off))
			if _, err := v.ReadAt(got, off); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want[off:off+int64(len(got))]) {
				t.Fatalf("seed %d, %s: %d bytes at %d are not those of the model", seed, s, len(got), off)
			}
			for _, part := range [][2]int64{{0, smallDisk}, {8 * SectorSize, 8 * SectorSize}} {
				id, bytesNow := v.Identity(part[0], part[1]), want[part[0]:part[0]+part[1]]
				if before, ok := contents[id]; ok && !bytes.Equal(before, bytesNow) {
					t.Fatalf("seed %d, %s: other contents have the same identity", seed, s)
				}
				contents[id] = bytesNow
			}
		}
	}
}

func TestStatesAreForEver(t *testing.T) {
	a, b := small(t, 7), small(t, 7)
	kinds := map[Kind]int{}
	units := map[int64]int{}
	for n := range 2000 {
		want := a.State(3, n)
		if diff := cmp.Diff(want, b.State(3, n)); diff != "" {
			t.Fatal(diff)
		}
		start, _ := a.epoch(want.Epoch)
		for i, f := range want.Fates {
			kinds[f.Kind]++
			units[f.Unit]++
			if last := i == len(want.Fates)-1; a.Writes[start+i].FUA && !last && f.Kind != Whole {
				t.Errorf("%s: a write with FUA that had completed is %s", want, f)
			}
		}
	}
	if len(kinds) != 4 || len(units) != 3 {
		t.Errorf("fates %v in units %v: want all kinds, of 0 (not torn), 1 and 8 sectors", kinds, units)
	}
	if s := a.State(4, 1000); cmp.Equal(s, a.State(3, 1000)) {
		t.Errorf("another seed gives the same state: %s", s)
	}
}

func TestBoundaries(t *testing.T) {
	log := &memory{}
	w := writelog.NewWriter(log)
	sector := make([]byte, SectorSize)
	must(t, w.Flush())
	must(t, w.Write(0, sector, 0))
	must(t, w.Write(512, sector, writelog.Flush)) // the flush comes before it
	must(t, w.Flush())
	must(t, w.Flush())
	must(t, w.Write(1024, sector, 0))
	tl, err := NewTimeline(&memory{}, smallDisk, log, int64(log.Len()))
	must(t, err)
	if diff := cmp.Diff([]int{0, 1, 2, 3}, tl.Epochs); diff != "" {
		t.Error(diff)
	}
	for write, want := range []int{0, 1, 2} {
		if got := tl.epochOf(write); got != want {
			t.Errorf("write %d: epoch %d, want %d", write, got, want)
		}
	}
	if _, err := NewTimeline(&memory{}, SectorSize, log, int64(log.Len())); err == nil {
		t.Error("a log of a larger disk is accepted")
	}
	empty, err := NewTimeline(&memory{}, smallDisk, log, 1024) // the first flush
	if err == nil || empty != nil {
		t.Errorf("a log that is cut inside of what it counts: got %v", err)
	}
}

func TestPatched(t *testing.T) {
	d := Patched{bytes.NewReader(bytes.Repeat([]byte("."), 20)), []qemu.Patch{{Offset: 3, Data: []byte("abc")}, {Offset: 15, Data: []byte("vwxyz")}}}
	for _, off := range []int64{0, 4, 6, 16} {
		want := "...abc.........vwxyz"[off:min(off+14, 20)]
		got := make([]byte, len(want))
		if _, err := d.ReadAt(got, off); err != nil || string(got) != want {
			t.Errorf("from %d on: got %q, %v, want %q", off, got, err, want)
		}
	}
}

func TestMaterialise(t *testing.T) {
	tl := small(t, 1)
	s := tl.State(1, 200)
	path := filepath.Join(t.TempDir(), "disk.raw")
	must(t, tl.Materialise(s, path))
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, model(t, tl, s)) {
		t.Error("the file is not the disk of the state")
	}
	if err := tl.Materialise(s, path); err == nil {
		t.Error("an existing file is overwritten")
	}
}
