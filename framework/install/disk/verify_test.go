// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestVerify checks that Verify finds one changed byte, wherever it is, and names the
// region that holds it.
func TestVerify(t *testing.T) {
	path, result := write(t, spec(t))
	find := func(partition string) disk.Extent {
		i := slices.IndexFunc(result.Extents, func(e disk.Extent) bool { return e.Partition == partition })
		return result.Extents[i]
	}
	recovery, last := find(layout.SlotRecovery.Root()), result.Extents[len(result.Extents)-1]
	for _, c := range []struct {
		name   string
		change func(*os.File) error
		want   string
	}{
		{"nothing", func(*os.File) error { return nil }, ""},
		{"the first byte", func(f *os.File) error { return flip(f, 0) }, "partition table: it is not what was written: "},
		{"the last byte", func(f *os.File) error { return flip(f, result.Size-1) }, last.Partition + ": "},
		{"the end of an extent", func(f *os.File) error { return flip(f, recovery.Offset+recovery.Size-1) }, recovery.Partition + ": "},
		{"behind an extent", func(f *os.File) error { return flip(f, recovery.Offset+recovery.Size+5) }, "where nothing was"},
		{"in the middle of a hole", func(f *os.File) error { return flip(f, find(layout.PartPersistent).Offset-1) }, "where nothing was"},
		{"two", func(f *os.File) error { return errors.Join(flip(f, 1), flip(f, recovery.Offset)) }, recovery.Partition + ": "},
		{"cut short", func(f *os.File) error { return f.Truncate(result.Size - 512) }, "and had"},
		{"too long", func(f *os.File) error { return f.Truncate(result.Size + 512) }, "and had"},
	} {
		copied := writeCopy(t, path)
		if err := c.change(copied); err != nil {
			t.Fatal(err)
		}
		err := disk.Verify(t.Context(), copied, result.Size, result.Extents)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, disk.ErrDiffers) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func flip(f *os.File, at int64) error {
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0x40
	_, err := f.WriteAt(b, at)
	return err
}

func writeCopy(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(mustRead(t, path)); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestExtents checks that the extents are few, in order, inside of the partitions
// that they name, and hold all data.
func TestExtents(t *testing.T) {
	s := spec(t)
	path, result := write(t, s)
	data := mustRead(t, path)
	at := int64(0)
	for _, e := range result.Extents {
		if e.Offset < at {
			t.Errorf("%+v begins before %d", e, at)
		}
		if p, ok := result.Table.Partition(e.Partition); ok && (e.Offset < p.Offset() || e.Offset+e.Size > p.Offset()+p.Size()) {
			t.Errorf("%+v is not in its partition", e)
		}
		clear(data[e.Offset : e.Offset+e.Size])
		at = e.Offset + e.Size
	}
	if rest := strings.Trim(string(data), "\x00"); rest != "" {
		t.Errorf("%d bytes of data are in no extent", len(rest))
	}
	if n := len(result.Extents); n > 30 {
		t.Errorf("%d extents", n)
	}
}

// TestContent checks that every fact about the content changes its identity.
func TestContent(t *testing.T) {
	extents := []disk.Extent{{Partition: "a", Offset: 1, Size: 2, SHA256: "3"}, {Partition: "b", Offset: 4, Size: 5, SHA256: "6"}}
	const want = "0f35beb2711000fd"
	seen := map[string]bool{disk.Content(7, extents): true, disk.Content(8, extents): true, disk.Content(7, extents[:1]): true}
	for i := range extents {
		for _, change := range []func(*disk.Extent){func(e *disk.Extent) { e.Offset++ }, func(e *disk.Extent) { e.Size++ }, func(e *disk.Extent) { e.SHA256 += "0" }} {
			other := slices.Clone(extents)
			change(&other[i])
			seen[disk.Content(7, other)] = true
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d identities, want 9", len(seen))
	}
	if got := disk.Content(7, extents); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s…: it stands in files that others have", got, want)
	}
}

func TestVerifyRefuses(t *testing.T) {
	f := writeCopy(t, os.DevNull)
	if _, err := f.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for name, extents := range map[string][]disk.Extent{
		"none":           nil,
		"overlap":        {{Offset: 0, Size: 5}, {Offset: 4, Size: 1}},
		"negative":       {{Offset: -1, Size: 5}},
		"empty":          {{Offset: 1}},
		"behind the end": {{Offset: 5, Size: 6}},
		"beyond numbers": {{Offset: 5, Size: 1<<63 - 1}},
	} {
		if err := disk.Verify(t.Context(), f, 10, extents); err == nil || errors.Is(err, disk.ErrDiffers) {
			t.Errorf("%s: got %v, want a complaint about the description", name, err)
		}
	}
}
