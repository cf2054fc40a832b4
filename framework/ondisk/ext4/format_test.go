// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSizesOfDiskForms(t *testing.T) {
	got := map[string]int{
		"superblock": binary.Size(superblock{}), "group descriptor": binary.Size(groupDesc{}),
		"inode": binary.Size(diskInode{}), "journal": binary.Size(journalSuper{}),
	}
	want := map[string]int{"superblock": superSize - 4, "group descriptor": groupDescSize, "inode": 128 + extraSize, "journal": 68}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("bytes (-want +got):\n%s", d)
	}
}

// TestChecksum: the check value of CRC-32C is E3069283 with the final inversion.
func TestChecksum(t *testing.T) {
	if got := ^checksumStart.bytes([]byte("123456789")); got != 0xE3069283 {
		t.Errorf("got %#x", uint32(got))
	}
}

func TestGroupsWithSuperblock(t *testing.T) {
	var got []int64
	for group := range int64(130) {
		if hasSuper(group) {
			got = append(got, group)
		}
	}
	if d := cmp.Diff([]int64{0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestGeometry(t *testing.T) {
	tests := []struct {
		name          string
		size, journal int64
		want          geometry
	}{
		{"smallest", 16 << 20, 0, geometry{blocks: 4096, groups: 1, gdt: 1, reservedGDT: 128, journal: 1024}},
		{"oem", 64 << 20, 0, geometry{blocks: 16384, groups: 1, gdt: 1, reservedGDT: 256, journal: 4096}},
		{"half a block is left over", 64<<20 + 2048, 0, geometry{blocks: 16384, groups: 1, gdt: 1, reservedGDT: 256, journal: 4096}},
		{"a tiny last group is left out", 130 << 20, 0, geometry{blocks: 32768, groups: 1, gdt: 1, reservedGDT: 256, journal: 8320}},
		{"a usable last group stays", 132 << 20, 16 << 20, geometry{blocks: 33792, groups: 2, gdt: 1, reservedGDT: 256, journal: 4096}},
		{"2 GiB", 2 << 30, 0, geometry{blocks: 524288, groups: 16, gdt: 1, reservedGDT: 256, journal: 16384}},
		{"two blocks of descriptors", 10 << 30, 0, geometry{blocks: 2621440, groups: 80, gdt: 2, reservedGDT: 256, journal: 16384}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newGeometry(tt.size, tt.journal)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(geometry{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAllocatorSkipsMetadata(t *testing.T) {
	g, err := newGeometry(512<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := newAllocator(g)
	got, err := a.take(2*blocksPerGroup - g.overhead(0) - g.overhead(1) + 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []extent{
		{g.overhead(0), blocksPerGroup - g.overhead(0)},
		{blocksPerGroup + g.overhead(1), blocksPerGroup - g.overhead(1)},
		{2*blocksPerGroup + g.overhead(2), 1},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(extent{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
