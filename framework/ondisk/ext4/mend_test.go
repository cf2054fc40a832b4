// SPDX-License-Identifier: Apache-2.0

package ext4_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

const sector = 512

// A hurt is a file system with another superblock.
type hurt struct {
	io.ReaderAt
	super []byte
}

func (h hurt) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.ReaderAt.ReadAt(p, off)
	from, to := max(off, ext4.SuperOffset), min(off+int64(n), ext4.SuperOffset+int64(len(h.super)))
	if from < to {
		copy(p[from-off:to-off], h.super[from-ext4.SuperOffset:])
	}
	return n, err
}

// newMemory returns a file system and a copy of its superblock.
func newMemory(t testing.TB, size int64) (fs memory, super []byte) {
	t.Helper()
	fs = make(memory, size)
	if err := ext4.Write(fs, size, sample(), options()); err != nil {
		t.Fatal(err)
	}
	return fs, bytes.Clone(fs[ext4.SuperOffset:][:1024])
}

func sum(super []byte) uint32 {
	return ^crc32.Update(0, crc32.MakeTable(crc32.Castagnoli), super[:1020])
}

// changed returns the superblock after a change, with a correct checksum.
func changed(super []byte, change func(b []byte)) []byte {
	b := bytes.Clone(super)
	change(b)
	binary.LittleEndian.PutUint32(b[1020:], sum(b))
	return b
}

func joined(first, second []byte) []byte {
	return append(bytes.Clone(first[:sector]), second[sector:]...)
}

// updates are Linux's changes of a superblock, with a random number n.
func updates() map[string]func(b []byte, n uint32) {
	le := binary.LittleEndian
	return map[string]func(b []byte, n uint32){
		"mount": func(b []byte, n uint32) {
			le.PutUint32(b[0x2c:], n)                     // s_mtime
			le.PutUint16(b[0x34:], le.Uint16(b[0x34:])+1) // s_mnt_count
			b[0x60] |= 4                                  // needs_recovery
			copy(b[0x88:0xc8], fmt.Sprintf("/sysroot/%d\x00", n%1000))
			le.PutUint32(b[0x248:], n%100) // s_overhead_clusters
		},
		"unmount": func(b []byte, n uint32) { b[0x60] &^= 4; b[0x3a] = 1; le.PutUint32(b[0x178:], n) },
		"counts": func(b []byte, n uint32) {
			le.PutUint32(b[0x0c:], n%4000)
			le.PutUint32(b[0x10:], n%8000)
			le.PutUint32(b[0x30:], n)
			b[0x274] = byte(n % 2) // s_wtime_hi
		},
		"orphan": func(b []byte, n uint32) { le.PutUint32(b[0xe8:], n%8000) },
		"error": func(b []byte, n uint32) {
			b[0x3a] = 2
			le.PutUint32(b[0x194:], n)
			copy(b[0x1a8:], "ext4_lookup")
			copy(b[0x1e0:], fmt.Sprintf("ext4_validate_%d\x00", n%100))
			b[0x27a], b[0x27b] = byte(n), byte(n>>8)
		},
		"label": func(b []byte, n uint32) { copy(b[0x78:0x88], fmt.Sprintf("LABEL%d\x00", n%1000)) },
	}
}

// TestMendTornUpdates: with any mixture of the sectors of two successive versions,
// the file system is whole, or Mend makes it whole by changing only the checksum.
func TestMendTornUpdates(t *testing.T) {
	fs, old := newMemory(t, 16*mib)
	random, list := rand.New(rand.NewPCG(1, 2)), updates()
	names := []string{"mount", "counts", "orphan", "error", "label", "unmount"}
	var mended int
	for range 200 {
		name := names[random.IntN(len(names))]
		now := changed(old, func(b []byte) { list[name](b, random.Uint32()) })
		for i, torn := range [][]byte{old, now, joined(old, now), joined(now, old)} {
			m, err := ext4.Mend(hurt{bytes.NewReader(fs), torn}, 16*mib)
			if err != nil {
				t.Fatalf("%s, mixture %d: %v", name, i, err)
			}
			if m.Super == nil {
				if sum(torn) != binary.LittleEndian.Uint32(torn[1020:]) {
					t.Fatalf("%s, mixture %d counts as whole", name, i)
				}
				continue
			}
			mended++
			want := changed(torn, func([]byte) {})
			if diff := cmp.Diff(ext4.Mending{Super: want}, m); diff != "" {
				t.Fatalf("%s, mixture %d (-want +got):\n%s", name, i, diff)
			}
			if again, err := ext4.Mend(hurt{bytes.NewReader(fs), m.Super}, 16*mib); again.Super != nil || err != nil {
				t.Fatalf("%s, mixture %d: what was mended is to be mended: %v", name, i, err)
			}
		}
		old = now
	}
	if mended < 200 {
		t.Errorf("only %d mixtures were torn", mended)
	}
}

// TestMendTornGrowth: the overhead of the larger file system may come before its
// size, or after it.
func TestMendTornGrowth(t *testing.T) {
	fs, old := newMemory(t, 16*mib)
	now := changed(old, func(b []byte) {
		le := binary.LittleEndian
		le.PutUint32(b[0x00:], 2*8192)
		le.PutUint32(b[0x04:], twoGroups/4096)
		le.PutUint32(b[0x248:], 5000)
	})
	for i, torn := range [][]byte{joined(old, now), joined(now, old)} {
		m, err := ext4.Mend(hurt{bytes.NewReader(fs), torn}, twoGroups)
		if diff := cmp.Diff(ext4.Mending{Super: changed(torn, func([]byte) {})}, m); diff != "" || err != nil {
			t.Errorf("mixture %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
}

// TestMendRefuses: a superblock that is worse than torn stays as it is.
func TestMendRefuses(t *testing.T) {
	fs, super := newMemory(t, 16*mib)
	set := func(at int, bytes ...byte) func(b []byte) { return func(b []byte) { copy(b[at:], bytes) } }
	tests := []struct {
		name   string
		change func(b []byte)
		want   error
	}{
		{"checksum alone", set(1020, 1, 2, 3, 4), nil},
		{"label", set(0x78, []byte("other")...), nil},
		{"mount point", set(0x88, []byte("/oem")...), nil},
		{"orphans", set(0x3a, 5), nil},
		{"resize inode is gone", set(0x5c, 0x2c), nil},
		{"meta_bg", set(0x60, 0xd2, 2, 0, 0), nil},
		{"mount options", set(0x200, []byte("data=journal")...), nil},
		{"no magic", set(0x38, 0), ext4.ErrNoSuper},
		{"zeros", set(0, make([]byte, 1024)...), ext4.ErrNoSuper},
		{"binary label", set(0x78, 0x1), ext4.ErrDamaged},
		{"inodes", set(0x0, 1), ext4.ErrDamaged},
		{"blocks", set(0x6, 1), ext4.ErrDamaged},
		{"blocks, high", set(0x150, 1), ext4.ErrDamaged},
		{"blocks below zero", set(0x153, 0x80), ext4.ErrDamaged},
		{"few blocks", set(0x4, 0, 0), ext4.ErrDamaged},
		{"free blocks", set(0x0f, 1), ext4.ErrDamaged},
		{"free blocks, below zero", set(0x15b, 0xff), ext4.ErrDamaged},
		{"free inodes", set(0x13, 1), ext4.ErrDamaged},
		{"block size", set(0x18, 1), ext4.ErrDamaged},
		{"blocks per group", set(0x20, 1), ext4.ErrDamaged},
		{"inodes per group", set(0x28, 1), ext4.ErrDamaged},
		{"state", set(0x3a, 8), ext4.ErrDamaged},
		{"what to do about errors", set(0x3c, 4), ext4.ErrDamaged},
		{"inode size", set(0x58, 128), ext4.ErrDamaged},
		{"group", set(0x5a, 1), ext4.ErrDamaged},
		{"compat", set(0x5d, 2), ext4.ErrDamaged},
		{"incompat", set(0x62, 1), ext4.ErrDamaged},
		{"ro_compat", set(0x66, 1), ext4.ErrDamaged},
		{"UUID", set(0x68, 1), ext4.ErrDamaged},
		{"hash seed", set(0xec, 1, 2), ext4.ErrDamaged},
		{"room for descriptors", set(0xcf, 2), ext4.ErrDamaged},
		{"orphan", set(0xeb, 1), ext4.ErrDamaged},
		{"journal", set(0x10c+20, 1, 1, 1), ext4.ErrDamaged},
		{"reserved, first sector", set(0x180, 1), ext4.ErrDamaged},
		{"overhead", set(0x24b, 1), ext4.ErrDamaged},
		{"reserved, second sector", set(0x300, 1), ext4.ErrDamaged},
		{"last byte before the checksum", set(1019, 1), ext4.ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(super)
			tt.change(b)
			m, err := ext4.Mend(hurt{bytes.NewReader(fs), b}, 16*mib)
			if !errors.Is(err, tt.want) || (m.Super != nil) != (tt.want == nil) {
				t.Errorf("got %d bytes, %v, want %v", len(m.Super), err, tt.want)
			}
		})
	}
}

func TestMendRefusesGarbage(t *testing.T) {
	fs, super := newMemory(t, 16*mib)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		b := bytes.Clone(super)
		for j := range b[:sector] {
			b[i%2*sector+j] = byte(random.Uint32())
		}
		copy(b[0x38:], super[0x38:0x3a]) // the magic number, so that Mend looks on
		b[0x65] |= 4                     // metadata_csum
		if m, err := ext4.Mend(hurt{bytes.NewReader(fs), b}, 16*mib); !errors.Is(err, ext4.ErrDamaged) || m.Super != nil {
			t.Fatalf("sector %d of garbage: got %d bytes, %v", i%2, len(m.Super), err)
		}
	}
}

// TestMendNeedsDescriptors: without a good descriptor Mend refuses a torn superblock.
func TestMendNeedsDescriptors(t *testing.T) {
	fs, super := newMemory(t, 16*mib)
	super[1020]++
	fs[4096+0x0c]++ // count of free blocks
	if m, err := ext4.Mend(hurt{bytes.NewReader(fs), super}, 16*mib); !errors.Is(err, ext4.ErrDamaged) || m.Super != nil {
		t.Errorf("got %d bytes, %v", len(m.Super), err)
	}
}

// TestMendSmallerPartition: Mend refuses a file system larger than its partition.
func TestMendSmallerPartition(t *testing.T) {
	fs, super := newMemory(t, 16*mib)
	super[1020]++
	if _, err := ext4.Mend(hurt{bytes.NewReader(fs), super}, 16*mib-1); !errors.Is(err, ext4.ErrDamaged) {
		t.Error(err)
	}
}

// TestMendOthers: Mend leaves a file system alone whose checksum is right, or which
// has no checksums.
func TestMendOthers(t *testing.T) {
	fs, super := newMemory(t, 16*mib)
	for name, b := range map[string][]byte{
		"another kind": changed(super, func(b []byte) { b[0x58] = 128 }),
		"no checksums": func() []byte { b := bytes.Clone(super); b[0x65] = 0; return b }(),
	} {
		if m, err := ext4.Mend(hurt{bytes.NewReader(fs), b}, 16*mib); err != nil || m.Super != nil {
			t.Errorf("%s: got %d bytes, %v", name, len(m.Super), err)
		}
	}
}

const (
	twoGroups = 160 * mib
	groupSize = 128 * mib
)

// TestMendFromCopy: a superblock that is worse than torn comes back from the next
// group, also after a power cut at any sector of the repair.
func TestMendFromCopy(t *testing.T) {
	fs, super := newMemory(t, twoGroups)
	b := bytes.Clone(super)
	b[0x300], b[0x59] = 1, 7 // both sectors
	r := bytes.NewReader(fs)
	m, err := ext4.Mend(hurt{r, b}, twoGroups)
	if err != nil {
		t.Fatal(err)
	}
	want := changed(super, func(b []byte) { b[0x3a] = 2; b[0x60] |= 4 })
	if diff := cmp.Diff(ext4.Mending{Super: want, Group: 1}, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, torn := range [][]byte{joined(b, m.Super), joined(m.Super, b)} {
		again, err := ext4.Mend(hurt{r, torn}, twoGroups)
		if diff := cmp.Diff(m, again); diff != "" || err != nil {
			t.Errorf("cut %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
}

// TestMendFromNoCopy: Mend does not use a bad copy, nor any without a magic number
// in the primary.
func TestMendFromNoCopy(t *testing.T) {
	fs, super := newMemory(t, twoGroups)
	tests := []struct {
		name   string
		size   int64
		at     int64 // of a byte that is changed
		change func(b []byte)
		want   error
	}{
		{"none", twoGroups, 0, func([]byte) {}, nil},
		{"torn", twoGroups, groupSize + 1020, func([]byte) {}, ext4.ErrDamaged},
		{"no magic in the primary", twoGroups, 0, func(b []byte) { b[0x38] = 0 }, ext4.ErrNoSuper},
		{"descriptor of the second group", twoGroups, 4096 + 64 + 0x0c, func([]byte) {}, ext4.ErrDamaged},
		{"smaller partition", twoGroups - 4096, 0, func([]byte) {}, ext4.ErrDamaged},
		{"partition of one group", groupSize, 0, func([]byte) {}, ext4.ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(super)
			b[0x300] = 1
			tt.change(b)
			fs[tt.at] ^= 1
			defer func() { fs[tt.at] ^= 1 }()
			m, err := ext4.Mend(hurt{bytes.NewReader(fs), b}, tt.size)
			if !errors.Is(err, tt.want) || (m.Super != nil) != (tt.want == nil) {
				t.Errorf("got %d bytes, %v, want %v", len(m.Super), err, tt.want)
			}
		})
	}
}

// TestMendFromStrangeCopy: a copy from an earlier file system has another UUID.
func TestMendFromStrangeCopy(t *testing.T) {
	fs, super := newMemory(t, twoGroups)
	super[0x300] = 1
	stale := changed(fs[groupSize:][:1024], func(b []byte) { b[0x68]++ })
	copy(fs[groupSize:], stale)
	if m, err := ext4.Mend(hurt{bytes.NewReader(fs), super}, twoGroups); !errors.Is(err, ext4.ErrDamaged) || m.Super != nil {
		t.Errorf("got %d bytes, %v", len(m.Super), err)
	}
}

func TestMendShort(t *testing.T) {
	if _, err := ext4.Mend(bytes.NewReader(make([]byte, 2000)), 2000); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// FuzzMend: whatever the change, a mended superblock is whole and differs from the
// old one only in the checksum.
func FuzzMend(f *testing.F) {
	fs, super := newMemory(f, 16*mib)
	f.Add(uint16(0x30), []byte{1})
	f.Add(uint16(0x38), []byte{0, 0})
	f.Add(uint16(1020), []byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at uint16, change []byte) {
		b := bytes.Clone(super)
		copy(b[at%1024:], change)
		m, err := ext4.Mend(hurt{bytes.NewReader(fs), b}, 16*mib)
		if err != nil || m.Super == nil {
			return
		}
		if diff := cmp.Diff(ext4.Mending{Super: changed(b, func([]byte) {})}, m); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if again, err := ext4.Mend(hurt{bytes.NewReader(fs), m.Super}, 16*mib); err != nil || again.Super != nil {
			t.Errorf("what was mended is to be mended: %v", err)
		}
	})
}
