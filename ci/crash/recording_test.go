// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

func TestFootprints(t *testing.T) {
	r := upgrade{}.record(t)
	all := len(r.Writes)
	tests := []struct {
		name    string
		running []layout.Slot
		active  bool // writes to what runs
	}{
		{"slot b is written while a runs", []layout.Slot{layout.SlotA}, false},
		{"slot b is written while b runs", []layout.Slot{layout.SlotB}, true},
		{"slot b is written while both run", []layout.Slot{layout.SlotA, layout.SlotB}, true},
		{"nothing runs", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps := []Step{{Name: "nothing", Running: tt.running}, {Name: "all", Running: tt.running, Writes: all - 1}}
			got, err := r.Footprints(Recording{Steps: steps})
			must(t, err)
			if got[0].Writes != 0 || got[1].Writes != all || got[1].Slots == 0 || got[1].Slots == all {
				t.Errorf("got %+v, want no writes in the first step, and %d in the second of which some are to a slot", got, all)
			}
			if want := tt.active; (got[1].Active == got[1].Slots) != want || (got[1].Active == 0) == want {
				t.Errorf("got %d writes to the running slot and %d to any, want them to be equal: %v", got[1].Active, got[1].Slots, want)
			}
		})
	}
}

func TestFootprintsOfAnotherLog(t *testing.T) {
	r := upgrade{}.record(t)
	if got, err := r.Footprints(Recording{Steps: []Step{{Name: "one", Writes: 10}, {Name: "two", Writes: 5}, {Name: "three"}}}); err == nil {
		t.Errorf("got %+v, want an error: a step cannot end before it begins", got)
	}
}

func TestCountWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), LogName)
	f, err := os.Create(path)
	must(t, err)
	w := writelog.NewWriter(f)
	must(t, w.Flush())
	must(t, w.Write(512, make([]byte, 1024), 0))
	must(t, w.Discard(4096, 512))
	must(t, f.Close())
	if got, err := CountWrites(path); got != 2 || err != nil {
		t.Errorf("got %d, %v, want the write and the discard", got, err)
	}
}

func TestRecordingRoundTrip(t *testing.T) {
	dir := t.TempDir()
	want := Recording{Steps: []Step{{Name: "upgrade", Running: []layout.Slot{layout.SlotA}, Writes: 7, Seconds: 1.5}}}
	must(t, want.Write(dir))
	got, err := ReadRecording(dir)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestActiveCore: only the half of the bios partition that the boot code starts must be
// whole.
func TestActiveCore(t *testing.T) {
	p := gpt.Partition{Name: layout.PartBIOS, First: 8, Last: 15}
	disk := make([]byte, 16*SectorSize)
	for i := range disk {
		disk[i] = byte(i / SectorSize)
	}
	tests := []struct {
		name   string
		sector byte
		first  byte
		size   int64
	}{
		{"the first half", 8, 8, 4 * SectorSize},
		{"the second half", 12, 12, 4 * SectorSize},
		{"no boot code", 0, 8, 8 * SectorSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mbr := make([]byte, SectorSize)
			mbr[kernelSector] = tt.sector
			got := activeCore(bytes.NewReader(disk), mbr, p)
			b := make([]byte, 1)
			_, err := got.ReadAt(b, 0)
			must(t, err)
			if b[0] != tt.first || got.Size() != tt.size {
				t.Errorf("got sector %d and %d bytes, want %d and %d", b[0], got.Size(), tt.first, tt.size)
			}
		})
	}
}
