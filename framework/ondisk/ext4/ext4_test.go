// SPDX-License-Identifier: Apache-2.0

package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	reader "github.com/diskfs/go-diskfs/filesystem/ext4"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

const (
	mib = 1 << 20
	// longName is the longest name that go-diskfs can read; ext4 allows 255.
	longName = 247
)

// A memory is a disk in memory that reads as zeros where nothing was written.
type memory []byte

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, fmt.Errorf("write of %d bytes at %d is outside of %d", len(p), off, len(m))
	}
	return copy(m[off:], p), nil
}

func options() ext4.Options {
	return ext4.Options{
		Label: "COS_PERSISTENT",
		UUID:  [16]byte{0x6b, 0x61, 0x69, 0x72, 0x6f, 0x73, 0x40, 0x01, 0x80, 2, 3, 4, 5, 6, 7, 8},
		Time:  time.Unix(1_750_000_000, 0),
	}
}

// sample has nested, implied and large directories, empty and large files.
func sample() []ext4.Entry {
	list := []ext4.Entry{
		{Path: "cloud-config/90_user.yaml", Mode: 0o600, Data: []byte("#cloud-config\nhostname: node\n")},
		{Path: "cloud-config", Mode: 0o750, Dir: true, UID: 70_000, GID: 80_000},
		{Path: "a/b/c/empty", Mode: 0o644},
		{Path: "big", Mode: 0o4755, UID: 1000, GID: 1001, Data: bytes.Repeat([]byte("0123456789abcdef"), 64<<10)},
		{Path: strings.Repeat("n", longName), Mode: 0o644, Data: []byte("x")},
	}
	for i := range 600 {
		list = append(list, ext4.Entry{Path: fmt.Sprintf("many/file-with-a-longer-name-%04d", i), Mode: 0o644, Data: fmt.Append(nil, i)})
	}
	return list
}

func write(t *testing.T, size int64, entries []ext4.Entry, o ext4.Options) memory {
	t.Helper()
	m := make(memory, size)
	if err := ext4.Write(m, size, entries, o); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWriteIsDeterministic(t *testing.T) {
	first := write(t, 16*mib, sample(), options())
	entries := sample()
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	if !bytes.Equal(first, write(t, 16*mib, entries, options())) {
		t.Error("the order of the entries changes the bytes")
	}
}

// fromReader returns the file system as go-diskfs reads it.
func fromReader(t *testing.T, m memory) *reader.FileSystem {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs.img")
	if err := os.WriteFile(path, m, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := file.OpenFromPath(path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	f, err := reader.Read(b, int64(len(m)), 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWriteReadsBack(t *testing.T) {
	f := fromReader(t, write(t, 64*mib, sample(), options()))
	if got := f.Label(); got != "COS_PERSISTENT" {
		t.Errorf("label = %q", got)
	}
	for _, e := range sample() {
		if e.Dir {
			continue
		}
		got, err := f.ReadFile(e.Path)
		if err != nil {
			t.Errorf("%s: %v", e.Path, err)
		} else if !bytes.Equal(got, e.Data) {
			t.Errorf("%s: read %d bytes that differ from the %d written", e.Path, len(got), len(e.Data))
		}
	}
}

func TestWriteSetsAttributes(t *testing.T) {
	f := fromReader(t, write(t, 64*mib, sample(), options()))
	type attributes struct {
		Mode     fs.FileMode
		Size     int64
		UID, GID uint32
		Time     int64
	}
	tests := map[string]attributes{
		"cloud-config":              {fs.ModeDir | 0o750, 4096, 70_000, 80_000, 1_750_000_000},
		"cloud-config/90_user.yaml": {0o600, 29, 0, 0, 1_750_000_000},
		"a/b":                       {fs.ModeDir | 0o755, 4096, 0, 0, 1_750_000_000},
		"big":                       {fs.ModeSetuid | 0o755, 1 << 20, 1000, 1001, 1_750_000_000},
		"lost+found":                {fs.ModeDir | 0o700, 16384, 0, 0, 1_750_000_000},
		"many":                      {fs.ModeDir | 0o755, 6 * 4096, 0, 0, 1_750_000_000},
	}
	for path, want := range tests {
		info, err := f.Stat(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		sys := info.Sys().(*reader.StatT)
		got := attributes{info.Mode(), info.Size(), sys.UID, sys.GID, info.ModTime().Unix()}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
}

func TestWriteListsDirectories(t *testing.T) {
	f := fromReader(t, write(t, 16*mib, sample(), options()))
	list, err := f.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	want := []string{"a", "big", "cloud-config", "lost+found", "many", strings.Repeat("n", longName)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("root (-want +got):\n%s", d)
	}
}

func TestWriteErrors(t *testing.T) {
	file := func(path string) ext4.Entry { return ext4.Entry{Path: path, Mode: 0o644} }
	one := func(e ext4.Entry) []ext4.Entry { return []ext4.Entry{e} }
	tests := []struct {
		name    string
		size    int64
		entries []ext4.Entry
		options ext4.Options
		want    error
		says    string
	}{
		{name: "too small", size: 16*mib - 1, want: ext4.ErrSize, says: "16777215 bytes, want 16 MiB to 1 TiB"},
		{name: "too large", size: 1<<40 + 1, want: ext4.ErrSize},
		{name: "content", entries: one(ext4.Entry{Path: "a/big", Data: make([]byte, 10*mib)}), want: ext4.ErrFull, says: `"a/big"`},
		{name: "inodes", entries: manyFiles(9000), want: ext4.ErrFull, says: "inodes"},
		{name: "absolute", entries: one(file("/etc/x")), want: ext4.ErrPath, says: `"/etc/x"`},
		{name: "dotdot", entries: one(file("a/../x")), want: ext4.ErrPath},
		{name: "unclean", entries: one(file("a//x")), want: ext4.ErrPath},
		{name: "empty", entries: one(file("")), want: ext4.ErrPath},
		{name: "NUL", entries: one(file("a\x00b")), want: ext4.ErrPath},
		{name: "long name", entries: one(file(strings.Repeat("n", 256))), want: ext4.ErrPath, says: "256 bytes"},
		{name: "type bits", entries: one(ext4.Entry{Path: "x", Mode: 0o100644}), want: ext4.ErrPath, says: "0100644"},
		{name: "directory with data", entries: one(ext4.Entry{Path: "x", Dir: true, Data: []byte("y")}), want: ext4.ErrPath},
		{name: "root as a file", entries: one(file(".")), want: ext4.ErrPath},
		{name: "below a file", entries: []ext4.Entry{file("x"), file("x/y")}, want: ext4.ErrPath, says: `"x" is a file`},
		{name: "twice", entries: []ext4.Entry{file("x"), file("x")}, want: ext4.ErrDuplicate, says: `"x"`},
		{name: "file and directory", entries: []ext4.Entry{file("x/y"), file("x")}, want: ext4.ErrDuplicate},
		{name: "lost+found", entries: one(ext4.Entry{Path: "lost+found", Dir: true}), want: ext4.ErrDuplicate},
		{name: "label", options: ext4.Options{Label: "12345678901234567"}, want: ext4.ErrOption, says: "17 bytes"},
		{name: "time", options: ext4.Options{Time: time.Unix(-1, 0)}, want: ext4.ErrOption, says: "1969"},
		{name: "small journal", options: ext4.Options{Journal: 4096}, want: ext4.ErrOption, says: "4096 bytes"},
		{name: "large journal", options: ext4.Options{Journal: 12 * mib}, want: ext4.ErrOption},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.size == 0 {
				tt.size = 16 * mib
			}
			m := make(memory, 16*mib)
			err := ext4.Write(m, tt.size, tt.entries, tt.options)
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Fatalf("got %v, want %v with %q", err, tt.want, tt.says)
			}
			if !bytes.Equal(m, make(memory, len(m))) {
				t.Error("something was written all the same")
			}
		})
	}
}

func manyFiles(n int) []ext4.Entry {
	list := make([]ext4.Entry, n)
	for i := range list {
		list[i] = ext4.Entry{Path: fmt.Sprint("f", i)}
	}
	return list
}

// TestWriteReportsAllErrors: Write reports every mistake, not only the first.
func TestWriteReportsAllErrors(t *testing.T) {
	err := ext4.Write(make(memory, 16*mib), 16*mib, []ext4.Entry{{Path: "/a"}, {Path: "b/"}}, ext4.Options{})
	for _, want := range []string{`"/a"`, `"b/"`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

type brokenDisk struct{}

var errBroken = errors.New("broken disk")

func (brokenDisk) WriteAt([]byte, int64) (int, error) { return 0, errBroken }

func TestWriteReportsWriteErrors(t *testing.T) {
	if err := ext4.Write(brokenDisk{}, 16*mib, nil, ext4.Options{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}
