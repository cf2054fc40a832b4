// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func sample() []Entry {
	return []Entry{
		File("live/kairos/root.img", 0o644, []byte("root")),
		File("live/config.yaml", 0o600, []byte("#cloud-config\n")),
		Link("sbin/modprobe", "/init"),
		{Path: "dev/console", Mode: TypeChar | 0o600, Major: 5, Minor: 1},
		File("live/empty", 0o644, nil),
	}
}

func archive(t *testing.T, entries []Entry) *Archive {
	t.Helper()
	a, err := New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func contents(t *testing.T, a *Archive) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	if err != nil || n != a.Size() || int64(b.Len()) != n {
		t.Fatalf("wrote %d bytes of %d: %v", n, a.Size(), err)
	}
	return b.Bytes()
}

// list reads an archive by the book: "inode mode links device path contents".
func list(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	for at := 0; ; {
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		size, named := field(6), at+110+field(11)
		name := string(b[at+110 : named-1])
		data := (named + 3) &^ 3
		if name == trailer {
			if data != len(b) {
				t.Errorf("%d bytes after the trailer", len(b)-data)
			}
			return out
		}
		out = append(out, fmt.Sprintf("%d %06o %d %d:%d %s %q", field(0), field(1), field(4), field(9), field(10), name, b[data:data+size]))
		at = (data + size + 3) &^ 3
	}
}

func TestArchive(t *testing.T) {
	want := []string{
		`1 040755 2 0:0 dev ""`,
		`2 020600 1 5:1 dev/console ""`,
		`3 040755 2 0:0 live ""`,
		`4 100600 1 0:0 live/config.yaml "#cloud-config\n"`,
		`5 100644 1 0:0 live/empty ""`,
		`6 040755 2 0:0 live/kairos ""`,
		`7 100644 1 0:0 live/kairos/root.img "root"`,
		`8 040755 2 0:0 sbin ""`,
		`9 120777 1 0:0 sbin/modprobe "/init"`,
	}
	if diff := cmp.Diff(want, list(t, contents(t, archive(t, sample())))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTwice: the order of the entries does not matter, and archives can follow each other.
func TestTwice(t *testing.T) {
	first := contents(t, archive(t, sample()))
	turned := sample()
	turned[0], turned[3] = turned[3], turned[0]
	if second := contents(t, archive(t, turned)); !bytes.Equal(first, second) {
		t.Error("the same entries gave other bytes")
	}
	if len(first)%4 != 0 {
		t.Errorf("%d bytes: the next archive begins at a multiple of four", len(first))
	}
}

func TestReader(t *testing.T) {
	a := archive(t, sample())
	if err := iotest.TestReader(io.NewSectionReader(a, 0, a.Size()), contents(t, a)); err != nil {
		t.Error(err)
	}
}

// TestTooLarge: nothing is read of a file that does not fit.
func TestTooLarge(t *testing.T) {
	_, err := New([]Entry{{Path: "live/root.img", Mode: TypeRegular, Size: MaxFile + 1}})
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "live/root.img has 4294967296 bytes") {
		t.Errorf("got %v", err)
	}
	if a := archive(t, []Entry{{Path: "x", Mode: TypeRegular, Size: MaxFile}}); a.Size() < MaxFile {
		t.Errorf("an archive of %d bytes", a.Size())
	}
}

// TestShort: a file that shrank is an error with its name.
func TestShort(t *testing.T) {
	e := File("live/root.img", 0o644, []byte("abc"))
	e.Size = 10
	_, err := archive(t, []Entry{e}).WriteTo(io.Discard)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "reading live/root.img at 3") {
		t.Errorf("got %v", err)
	}
}

// FuzzReadAt: each part of an archive is that part of the whole.
func FuzzReadAt(f *testing.F) {
	f.Add("a/b", []byte("data"), int64(100), 50)
	f.Fuzz(func(t *testing.T, path string, data []byte, off int64, length int) {
		if path == "" || len(path) > 1000 || off < 0 || length < 0 || length > 1<<16 {
			return
		}
		a := archive(t, []Entry{File(path, 0o644, data)})
		whole := contents(t, a)
		got := make([]byte, length)
		n, err := a.ReadAt(got, off)
		want := whole[min(off, int64(len(whole))):]
		want = want[:min(length, len(want))]
		if !bytes.Equal(got[:n], want) || (err == nil) != (n == length) {
			t.Errorf("read %d bytes at %d: %v", n, off, err)
		}
	})
}
