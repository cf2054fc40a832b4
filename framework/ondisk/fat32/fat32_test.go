// SPDX-License-Identifier: Apache-2.0

package fat32_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfs "github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

const mib = 1 << 20

var options = fat32.Options{Label: "COS_GRUB", VolumeID: 0x1234abcd, Time: time.Date(2025, 6, 1, 12, 30, 42, 0, time.UTC)}

func tree() []fat32.File {
	return []fat32.File{
		{Path: "EFI/debian/grub.cfg", Data: []byte("set timeout=1\n")},
		{Path: "EFI/BOOT/BOOTX64.EFI", Data: bytes.Repeat([]byte("shim"), 250_001)},
		{Path: "VMLINUZ", Data: bytes.Repeat([]byte{7}, 3*mib)},
		{Path: "EMPTY"},
		{Path: "EFI/BOOT/mmx64.efi", Data: bytes.Repeat([]byte{9}, 4096)},
	}
}

func write(t *testing.T, size int64, files []fat32.File, o fat32.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fat.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := fat32.Write(f, size, files, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads an image with go-diskfs, an independent reader.
func readAll(t *testing.T, path string, size int64) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	v, err := diskfs.Read(file.New(f, true), size, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(v.Label()); got != options.Label {
		t.Errorf("label %q, want %q", got, options.Label)
	}
	got := map[string]string{}
	err = fs.WalkDir(v, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == options.Label {
			return err
		}
		if i, err := d.Info(); err != nil || i.Size() == 0 { // go-diskfs cannot open a file without a cluster
			got[strings.ToUpper(path)] = ""
			return err
		}
		r, err := v.Open(path)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		got[strings.ToUpper(path)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWriteIsReadBack(t *testing.T) {
	for _, size := range []int64{34 * mib, 128 * mib, 192 * mib, 1024 * mib} {
		want := map[string]string{}
		for _, f := range tree() {
			want[strings.ToUpper(f.Path)] = string(f.Data)
		}
		got := readAll(t, write(t, size, tree(), options), size)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d MiB: (-want +got)\n%.2000s", size/mib, diff)
		}
	}
}

func TestManyFilesInADirectory(t *testing.T) {
	var files []fat32.File
	want := map[string]string{}
	for i := range 600 {
		name := "D/F" + strings.Repeat("X", i%4) + string(rune('A'+i%26)) + string(rune('A'+i/26)) + ".X"
		files = append(files, fat32.File{Path: name, Data: []byte(name)})
		want[name] = name
	}
	got := readAll(t, write(t, 40*mib, files, options), 40*mib)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHighClusters: from cluster 65536 on, a number needs the high half of its field.
func TestHighClusters(t *testing.T) {
	files := []fat32.File{{Path: "A", Data: make([]byte, 36*mib)}, {Path: "B", Data: []byte("behind")}}
	got := readAll(t, write(t, 40*mib, files, options), 40*mib)
	if got["B"] != "behind" || len(got["A"]) != 36*mib {
		t.Errorf("A has %d bytes, B is %.20q", len(got["A"]), got["B"])
	}
}

// TestWriteOverOldData: old data on a device remains in free clusters only.
func TestWriteOverOldData(t *testing.T) {
	clean := write(t, 40*mib, tree(), options)
	dirty := filepath.Join(t.TempDir(), "dirty.img")
	if err := os.WriteFile(dirty, bytes.Repeat([]byte{0xaa}, 40*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(dirty, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fat32.Write(f, 40*mib, tree(), options); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readAll(t, clean, 40*mib), readAll(t, dirty, 40*mib)); diff != "" {
		t.Errorf("%.2000s", diff)
	}
	a, b := mustRead(t, clean), mustRead(t, dirty)
	used := 7 * mib // metadata and all files end well before this
	if i := firstDifference(a[:used], b[:used]); i >= 0 && b[i] != 0xaa {
		t.Errorf("byte %#x differs in an area in use", i)
	}
}

func TestWriteTwiceIsEqual(t *testing.T) {
	reversed := tree()
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	a, b := mustRead(t, write(t, 64*mib, tree(), options)), mustRead(t, write(t, 64*mib, reversed, options))
	if !bytes.Equal(a, b) {
		t.Errorf("the order of the files changes the bytes at %#x", firstDifference(a, b))
	}
}

func TestWriteRefuses(t *testing.T) {
	one := func(path string) []fat32.File { return []fat32.File{{Path: path, Data: []byte("x")}} }
	tests := []struct {
		name  string
		size  int64
		files []fat32.File
		label string
		want  string
	}{
		{"too small", 16 * mib, nil, "", "too small"},
		{"odd size", 40*mib + 1, nil, "", "multiple of 512"},
		{"too large", 16 << 30, nil, "", "at most"},
		{"long label", 40 * mib, nil, "ABCDEFGHIJKL", "at most 11"},
		{"small label", 40 * mib, nil, "efi", "A-Z"},
		{"long base", 40 * mib, one("ABCDEFGHI"), "", "8.3"},
		{"long extension", 40 * mib, one("A.HTML"), "", "8.3"},
		{"two dots", 40 * mib, one("A.B.C"), "", "8.3"},
		{"mixed case", 40 * mib, one("Grub.cfg"), "", "mixes"},
		{"absolute", 40 * mib, one("/A"), "", "8.3"},
		{"up", 40 * mib, one("../A"), "", "8.3"},
		{"twice", 40 * mib, append(one("efi/A"), one("EFI/A")...), "", "taken"},
		{"file as directory", 40 * mib, append(one("A"), one("A/B")...), "", "taken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := fat32.Write(untouchable{t}, tt.size, tt.files, fat32.Options{Label: tt.label})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestWriteFull(t *testing.T) {
	err := fat32.Write(untouchable{t}, 34*mib, []fat32.File{{Path: "A", Data: make([]byte, 40*mib)}}, options)
	if !errors.Is(err, fat32.ErrNoSpace) || !strings.Contains(err.Error(), `"A"`) {
		t.Errorf("got %v, want ErrNoSpace for A", err)
	}
}

func TestWriteReportsTheWriter(t *testing.T) {
	if err := fat32.Write(failing{}, 40*mib, tree(), options); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

// FuzzNames: Write refuses a set of names, or go-diskfs finds all of them.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"EFI/BOOT/BOOTX64.EFI", "a/b/c", "grubenv", "A B", "x.", ".x", "É", "\x00"} {
		f.Add(s, "VMLINUZ")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		files := []fat32.File{{Path: a, Data: []byte("a")}, {Path: b, Data: []byte("b")}}
		path := filepath.Join(t.TempDir(), "fat.img")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := out.Truncate(34 * mib); err != nil {
			t.Fatal(err)
		}
		if err := fat32.Write(out, 34*mib, files, options); err != nil {
			return
		}
		want := map[string]string{strings.ToUpper(a): "a", strings.ToUpper(b): "b"}
		if diff := cmp.Diff(want, readAll(t, path, 34*mib)); diff != "" {
			t.Error(diff)
		}
	})
}

type untouchable struct{ t *testing.T }

func (u untouchable) WriteAt(p []byte, _ int64) (int, error) {
	u.t.Error("something was written")
	return len(p), nil
}

type failing struct{}

func (failing) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
