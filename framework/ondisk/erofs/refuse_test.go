// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRefusedEntries(t *testing.T) {
	regular := Entry{Path: "new", Mode: ModeRegular}
	entry := func(f func(*Entry)) Entry { e := regular; f(&e); return e }
	for _, test := range []struct {
		name string
		e    Entry
		want error
	}{
		{"exists", entry(func(e *Entry) { e.Path = "file" }), fs.ErrExist},
		{"file over directory", entry(func(e *Entry) { e.Path = "dir" }), fs.ErrExist},
		{"file over root", entry(func(e *Entry) { e.Path = "." }), fs.ErrExist},
		{"directory over file", entry(func(e *Entry) { e.Path = "file"; e.Mode = ModeDir }), fs.ErrExist},
		{"below a file", entry(func(e *Entry) { e.Path = "file/x" }), fs.ErrExist},
		{"absolute", entry(func(e *Entry) { e.Path = "/x" }), fs.ErrInvalid},
		{"dots", entry(func(e *Entry) { e.Path = "x/../y" }), fs.ErrInvalid},
		{"trailing slash", entry(func(e *Entry) { e.Path = "x/" }), fs.ErrInvalid},
		{"empty path", entry(func(e *Entry) { e.Path = "" }), fs.ErrInvalid},
		{"directory with a bad path", entry(func(e *Entry) { e.Path = "a//b"; e.Mode = ModeDir }), fs.ErrInvalid},
		{"long name", entry(func(e *Entry) { e.Path = strings.Repeat("n", 256) }), fs.ErrInvalid},
		{"long path", entry(func(e *Entry) { e.Path = strings.Repeat("n/", 2048) + "n" }), fs.ErrInvalid},
		{"NUL", entry(func(e *Entry) { e.Path = "a\x00b" }), fs.ErrInvalid},
		{"no type", entry(func(e *Entry) { e.Mode = 0o644 }), fs.ErrInvalid},
		{"odd mode", entry(func(e *Entry) { e.Mode |= 1 << 16 }), fs.ErrInvalid},
		{"negative size", entry(func(e *Entry) { e.Size = -1 }), fs.ErrInvalid},
		{"nanoseconds", entry(func(e *Entry) { e.MTimeNsec = 1e9 }), fs.ErrInvalid},
		{"empty link", entry(func(e *Entry) { e.Mode = ModeSymlink }), fs.ErrInvalid},
		{"long link", entry(func(e *Entry) { e.Mode = ModeSymlink; e.Linkname = strings.Repeat("l", 4096) }), fs.ErrInvalid},
		{"major", entry(func(e *Entry) { e.Mode = ModeChar; e.Major = 4096 }), fs.ErrInvalid},
		{"minor", entry(func(e *Entry) { e.Mode = ModeBlock; e.Minor = 1 << 20 }), fs.ErrInvalid},
		{"xattr prefix", entry(func(e *Entry) { e.Xattrs = map[string]string{"system.nfs4_acl": "x"} }), fs.ErrInvalid},
		{"xattr without name", entry(func(e *Entry) { e.Xattrs = map[string]string{"user.": "x"} }), fs.ErrInvalid},
		{"xattr name", entry(func(e *Entry) { e.Xattrs = map[string]string{"user." + strings.Repeat("n", 251): "x"} }), fs.ErrInvalid},
		{"xattr value", entry(func(e *Entry) { e.Xattrs = map[string]string{"user.n": strings.Repeat("v", 65536)} }), fs.ErrInvalid},
		{"xattrs", entry(func(e *Entry) { e.Xattrs = bigXattrs() }), fs.ErrInvalid},
		{"directory xattrs", entry(func(e *Entry) { e.Mode = ModeDir; e.Xattrs = bigXattrs() }), fs.ErrInvalid},
		{"short content", entry(func(e *Entry) { e.Size = 10 }), ErrSize},
		{"short body", entry(func(e *Entry) { e.Size = 10000 }), ErrSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := []item{dir("dir", 0o755), file("file", []byte("f"))}
			f := tempImage(t, Options{BuildTime: buildTime}, func(w *Writer) {
				add(t, w, before)
				err := w.Add(test.e, strings.NewReader(""))
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.e.Path) {
					t.Errorf("Add: %v, want %v", err, test.want)
				}
			})
			if diff := diffNodes(expected(before, Options{BuildTime: buildTime}), readImage(t, f)); diff != "" {
				t.Errorf("the refused entry left something behind\n%s", diff)
			}
		})
	}
}

func bigXattrs() map[string]string {
	x := map[string]string{}
	for i := range 5 {
		x[fmt.Sprintf("user.%d", i)] = strings.Repeat("v", 60000)
	}
	return x
}

func TestContentThatGoesOn(t *testing.T) {
	for _, size := range []int64{0, 1, 4096, 5000} {
		tempImage(t, Options{}, func(w *Writer) {
			err := w.Add(Entry{Path: "f", Mode: ModeRegular, Size: size}, bytes.NewReader(make([]byte, size+1)))
			if !errors.Is(err, ErrSize) {
				t.Errorf("size %d: %v", size, err)
			}
		})
	}
}

func TestRefusedLinks(t *testing.T) {
	tempImage(t, Options{}, func(w *Writer) {
		add(t, w, []item{dir("dir", 0o755), file("file", []byte("f"))})
		for _, test := range []struct {
			path, target string
			want         error
		}{
			{"l", "nothing", fs.ErrNotExist},
			{"l", "file/x", fs.ErrNotExist},
			{"l", "dir", fs.ErrInvalid},
			{"file", "file", fs.ErrExist},
			{"../l", "file", fs.ErrInvalid},
			{"file/l", "file", fs.ErrExist},
		} {
			if err := w.Link(test.path, test.target); !errors.Is(err, test.want) {
				t.Errorf("Link(%q, %q): %v, want %v", test.path, test.target, err, test.want)
			}
		}
	})
}

func TestReaderErrorIsPassedOn(t *testing.T) {
	tempImage(t, Options{}, func(w *Writer) {
		for _, size := range []int64{1, 10000} {
			err := w.Add(Entry{Path: "f", Mode: ModeRegular, Size: size}, iotest.ErrReader(io.ErrClosedPipe))
			if !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("size %d: %v", size, err)
			}
		}
	})
}

// fullDisk accepts left bytes and then no more.
type fullDisk struct{ left int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) WriteAt(b []byte, _ int64) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestFullDisk(t *testing.T) {
	for _, room := range []int{0, 1 << 20, 5 << 20, 9 << 20} {
		w := NewWriter(&fullDisk{left: room}, Options{})
		var failed error
		for i := range 100 {
			if err := w.Add(Entry{Path: fmt.Sprint(i), Mode: ModeRegular, Size: 100000}, bytes.NewReader(make([]byte, 100000))); err != nil {
				failed = err
			}
		}
		_, err := w.Close()
		if !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: Add %v, Close %v", room, failed, err)
		}
		if _, err := w.Close(); err == nil {
			t.Error("the second Close succeeded")
		}
	}
}
