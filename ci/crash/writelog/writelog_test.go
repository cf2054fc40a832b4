// SPDX-License-Identifier: Apache-2.0

package writelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A memory is a file that grows.
type memory []byte

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(*m) {
		*m = append(*m, make([]byte, need-len(*m))...)
	}
	return copy((*m)[off:], p), nil
}

// sample is a log with one entry of each kind. The last two come after the last update
// of the superblock.
func sample(t testing.TB) (log memory, want []Entry) {
	t.Helper()
	w := NewWriter(&log)
	data := bytes.Repeat([]byte("kairos!\n"), 128)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Write(4096, data, 0))
	must(w.Discard(1<<20, 2048))
	must(w.Write(0, data[:512], FUA))
	must(w.Flush())
	must(w.Write(512, data[:512], 0))
	must(w.Write(1024, data[:512], Flush|FUA))
	return log, []Entry{
		{Offset: 4096, Size: 1024, Data: 1024},
		{Offset: 1 << 20, Size: 2048, Flags: Discard, Data: -1},
		{Offset: 0, Size: 512, Flags: FUA, Data: 3072},
		{Flags: Flush, Data: -1},
		{Offset: 512, Size: 512, Data: 4608},
		{Offset: 1024, Size: 512, Flags: Flush | FUA, Data: 5632},
	}
}

func TestRoundTrip(t *testing.T) {
	log, want := sample(t)
	got, err := ReadAll(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, e := range got {
		if e.Data >= 0 && string(log[e.Data:e.Data+7]) != "kairos!" {
			t.Errorf("entry for %d: its data is not at %d", e.Offset, e.Data)
		}
	}
}

// TestEnds: the log may be cut anywhere after the entries that the superblock counts,
// and nowhere before.
func TestEnds(t *testing.T) {
	log, all := sample(t)
	tests := []struct {
		name string
		size int
		edit func(memory)
		want int // entries
		err  error
	}{
		{"whole", len(log), nil, len(all), nil},
		{"last data cut", len(log) - 1, nil, 5, nil},
		{"last entry cut", len(log) - 1000, nil, 5, nil},
		{"zeros at the end", len(log), func(m memory) { clear(m[5120:]) }, 5, nil},
		{"rubbish at the end", len(log), func(m memory) { m[5120+16] = 0xff }, 5, nil},
		{"sectors that no disk has", len(log), func(m memory) { m[5120+7] = 0x7f }, 5, nil},
		{"at the superblock's count", 4096, nil, 4, nil},
		{"counted entry is missing", 3584, nil, 0, ErrCorrupt},
		{"counted entry is rubbish", len(log), func(m memory) { m[512+17] = 1 }, 0, ErrCorrupt},
		{"no superblock", len(log), func(m memory) { clear(m[:512]) }, 0, ErrNoLog},
		{"another version", len(log), func(m memory) { m[8] = 2 }, 0, ErrNoLog},
		{"odd sectors", len(log), func(m memory) { binary.LittleEndian.PutUint32(m[24:], 1000) }, 0, ErrCorrupt},
		{"empty", 0, nil, 0, ErrNoLog},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := bytes.Clone(log)[:tt.size]
			if tt.edit != nil {
				tt.edit(m)
			}
			got, err := ReadAll(bytes.NewReader(m), int64(len(m)))
			if !errors.Is(err, tt.err) || len(got) != tt.want {
				t.Errorf("got %d entries, %v; want %d, %v", len(got), err, tt.want, tt.err)
			}
		})
	}
}

// FuzzReadAll: whatever the log, each entry lies behind the previous one, with its data
// inside the log.
func FuzzReadAll(f *testing.F) {
	log, _ := sample(f)
	f.Add([]byte(log))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, log []byte) {
		list, err := ReadAll(bytes.NewReader(log), int64(len(log)))
		if err != nil && list != nil {
			t.Errorf("entries and an error: %v", err)
		}
		end := int64(0)
		for _, e := range list {
			if e.Offset < 0 || e.Size < 0 || e.Data >= 0 && (e.Data < end || e.Data+e.Size > int64(len(log))) {
				t.Fatalf("%+v in a log of %d bytes", e, len(log))
			}
			if e.Data >= 0 {
				end = e.Data + e.Size
			}
		}
	})
}
