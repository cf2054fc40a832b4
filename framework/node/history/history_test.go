// SPDX-License-Identifier: Apache-2.0

package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
)

func entry(n int) Entry {
	return Entry{
		Time: time.Unix(1_700_000_000+int64(n), 0).UTC(), BootID: "id", Kind: Boot, Slot: layout.SlotA,
		Version: "v1.2.3", Outcome: OK, Message: fmt.Sprintf("boot %d <&>", n),
	}
}

func appendAll(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		if err := Append(dir, entry(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "oem/.kairos")
	if got, err := Read(dir); got != nil || err != nil {
		t.Errorf("no document: %v, %v", got, err)
	}
	appendAll(t, dir, 2)
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Entry{entry(0), entry(1)}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestBounded(t *testing.T) {
	dir := t.TempDir()
	appendAll(t, dir, MaxEntries+3)
	long := entry(99)
	long.Message = "x" + strings.Repeat("é", MaxMessage)
	if err := Append(dir, long); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || len(got) != MaxEntries || got[0].Message != entry(4).Message {
		t.Errorf("%d entries, the first is %+v, %v", len(got), got[0], err)
	}
	if last := got[len(got)-1].Message; len(last) > MaxMessage || !strings.HasSuffix(last, "é") {
		t.Errorf("message of %d bytes ends in %q", len(last), last[len(last)-2:])
	}
}

// TestDamaged: a damaged document is kept and reported; the new entry is not lost.
func TestDamaged(t *testing.T) {
	for _, c := range []struct{ name, data string }{
		{"cut short", `{"version": 1, "entries": [`},
		{"empty", ""},
		{"zeros", strings.Repeat("\x00", 512)},
		{"another document", `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, File), []byte(c.data), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(dir); !errors.Is(err, ErrDamaged) {
				t.Errorf("reading: %v", err)
			}
			if err := Append(dir, entry(1)); !errors.Is(err, ErrDamaged) {
				t.Errorf("appending: %v", err)
			}
			got, err := Read(dir)
			if diff := cmp.Diff([]Entry{entry(1)}, got); diff != "" || err != nil {
				t.Errorf("%v, entries (-want +got):\n%s", err, diff)
			}
			if kept, err := os.ReadFile(filepath.Join(dir, Damaged)); string(kept) != c.data || err != nil {
				t.Errorf("kept %q, %v", kept, err)
			}
		})
	}
}

// TestAtOnce: several writers append at the same time, and no entry is lost.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := Append(dir, entry(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := Read(dir); len(got) != 20 || err != nil {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Append(file, entry(1)); err == nil || !strings.Contains(err.Error(), "writing the boot history") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := Encode([]Entry{entry(1), entry(2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"entries":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(entries)
		if err != nil {
			t.Skip("a time that JSON cannot hold")
		}
		back, err := Decode(again)
		if err != nil || len(entries) > MaxEntries || !cmp.Equal(append([]Entry{}, entries...), append([]Entry{}, back...)) {
			t.Fatalf("round trip: %v\n%s", err, cmp.Diff(entries, back))
		}
	})
}
