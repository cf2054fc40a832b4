// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
)

const testStates = 1500

// loses makes a medium lose the write at an offset of a partition.
func loses(name string, at int64) func(testDisk) func(int64) bool {
	return func(d testDisk) func(int64) bool {
		want := d.part(name).Offset() + at
		return func(off int64) bool { return off == want }
	}
}

// TestExplore: the protocol survives every power cut, on good media and on one that
// loses writes, and each mistake is found.
func TestExplore(t *testing.T) {
	const block = 128 << 10 // a piece in the middle of the root image
	tests := []struct {
		upgrade
		part, words string // of the first bad state; empty if there is none
	}{
		{upgrade{name: "the protocol"}, "", ""},
		{upgrade{name: "the medium loses a block, and it is read back", lost: loses(layout.SlotB.Root(), block)}, "", ""},
		{upgrade{name: "armed before the flush", armEarly: true}, "slots", "slot b: partition"},
		{upgrade{name: "a lost block, not read back", noReading: true, lost: loses(layout.SlotB.Root(), block)}, "slots", "slot b: partition root-b: verity data block 32"},
		{upgrade{name: "a lost kernel, not read back", noReading: true, lost: losesKernel}, "slots", "belong to no image"},
		{upgrade{name: "an environment of two sectors", padding: 473}, "environment", ""},
		{upgrade{name: "both partition tables at once", careless: true}, "partition table", "primary: entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.record(t)
			c, err := NewChecker(r.Timeline, r.fresh)
			must(t, err)
			report, err := Explore{Seed: 1, States: testStates}.Run(t.Context(), r.Timeline, c)
			must(t, err)
			t.Log(report.Text())
			if tt.part == "" {
				if len(report.Bad) > 0 || report.Next != testStates {
					t.Errorf("%d states checked, %d bad: want %d and none", report.Next, len(report.Bad), testStates)
				}
				return
			}
			if len(report.Bad) != 1 || report.Bad[0].Part != tt.part || !strings.Contains(report.Bad[0].What, tt.words) {
				t.Errorf("got %+v, want a bad state in %s with %q", report.Bad, tt.part, tt.words)
			}
		})
	}
}

// losesKernel loses a write that begins in the middle of the kernel: the second
// piece of the file.
func losesKernel(d testDisk) func(int64) bool {
	p := d.part(layout.SlotB.Boot())
	seen := 0
	return func(off int64) bool {
		inData := off >= p.Offset()+(600<<10) && off < p.Offset()+p.Size()
		if inData {
			seen++
		}
		return inData && seen == 2
	}
}
