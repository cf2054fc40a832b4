// SPDX-License-Identifier: Apache-2.0

package wipe

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/grow"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

var (
	now = time.Unix(1700000000, 0)
	id  = [16]byte{1, 2, 3}
)

// memory is a device that breaks after a number of writes.
type memory struct {
	data []byte
	left int
}

var errCut = errors.New("cut")

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.left == 0 {
		return 0, errCut
	}
	m.left--
	return copy(m.data[off:], p), nil
}

func (m *memory) Sync() error { return nil }

func TestFormatIsWhatAnEmptyDiskGets(t *testing.T) {
	const size = 16 * layout.MiB
	o := ext4.Options{Label: layout.LabelPersistent, UUID: id, Time: now}
	fresh := &memory{make([]byte, size), -1}
	if err := ext4.Write(fresh, size, nil, o); err != nil {
		t.Fatal(err)
	}
	old := &memory{bytes.Repeat([]byte("old data"), int(size/8)), -1}
	if err := format(old, size, o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh.data, old.data) {
		t.Error("a file system over old data differs from one on an empty device")
	}
}

func TestCutLeavesNoFileSystem(t *testing.T) {
	const size = 16 * layout.MiB
	o := ext4.Options{UUID: id, Time: now}
	whole := &memory{make([]byte, size), 1 << 20}
	if err := format(whole, size, o); err != nil {
		t.Fatal(err)
	}
	writes := 1<<20 - whole.left
	for _, cut := range []int{1, writes / 2, writes - 1} {
		d := &memory{bytes.Clone(whole.data), cut}
		if err := format(d, size, o); !errors.Is(err, errCut) {
			t.Fatalf("cut at write %d of %d: got error %v", cut, writes, err)
		}
		if !bytes.Equal(d.data[:4096], make([]byte, 4096)) {
			t.Errorf("cut at write %d of %d: there is a superblock", cut, writes)
		}
	}
}

func TestDo(t *testing.T) {
	device := filepath.Join(t.TempDir(), "persistent")
	if err := os.WriteFile(device, bytes.Repeat([]byte{0xaa}, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r := NewRequest(id, now)
	if wiped, err := r.Do(device, 16<<20, now); !wiped || err != nil {
		t.Fatalf("wiping: %v, %v", wiped, err)
	}
	fs, err := grow.Inspect(device)
	if err != nil || fs.UUID != id || fs.Blocks != 16<<20/4096 {
		t.Errorf("the new file system: %+v, %v", fs, err)
	}
	if wiped, err := r.Do(device, 16<<20, now); wiped || err != nil {
		t.Errorf("acting on the request again: %v, %v: want nothing to be done", wiped, err)
	}
}

func TestReadMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "unexpected end"},
		{"newer", `{"version":2,"uuid":"01020300000000000000000000000000"}`, "version 2, want 1"},
		{"no uuid", `{"version":1}`, "want 32 hex digits"},
		{"zero", `{"version":1,"uuid":"00000000000000000000000000000000"}`, "not all zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "wipe.json")
			if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(name); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
	if r, err := Read(filepath.Join(t.TempDir(), "none")); r != nil || err != nil {
		t.Errorf("without a request: got %v, %v", r, err)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := NewRequest(id, now).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			return // a year that JSON cannot express
		}
		if got, err := decode(again); err != nil || !cmp.Equal(r, got) {
			t.Errorf("got %+v, %v; want %+v", got, err, r)
		}
	})
}
