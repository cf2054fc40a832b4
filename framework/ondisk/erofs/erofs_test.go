// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const buildTime = 1700000000

// An item is an entry with its content, or a hard link when target is set.
type item struct {
	Entry
	content []byte
	target  string
}

func dir(path string, mode uint32) item {
	return item{Entry: Entry{Path: path, Mode: ModeDir | mode, MTime: buildTime}}
}

func file(path string, content []byte) item {
	return item{Entry: Entry{Path: path, Mode: ModeRegular | 0o644, MTime: buildTime, Size: int64(len(content))}, content: content}
}

func (i item) with(f func(*Entry)) item { f(&i.Entry); return i }

func add(t testing.TB, w *Writer, items []item) {
	t.Helper()
	for _, i := range items {
		var err error
		if i.target != "" {
			err = w.Link(i.Path, i.target)
		} else {
			err = w.Add(i.Entry, bytes.NewReader(i.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// manyNames has a directory of several blocks, with names of every length.
func manyNames() []item {
	var items []item
	for i := range 700 {
		name := fmt.Sprintf("%03d%s", i*7919%700, strings.Repeat("n", i%252))
		items = append(items, file("many/"+name, []byte(name)))
	}
	return items
}

// everything has an item of each kind that EROFS can hold.
func everything() []item {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	acl := "\x02\x00\x00\x00" + // user::rwx user:1000:rw- group::rwx mask::rwx other::r-x
		"\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x07\x00\xff\xff\xff\xff" +
		"\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"
	items := []item{
		dir(".", 0o755).with(func(e *Entry) { e.MTime = 1234567890; e.Xattrs = map[string]string{"user.root": "yes"} }),
		dir("etc", 0o755),
		file("etc/empty", nil),
		file("etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n")),
		file("usr/bin/sudo", pattern("sudo", 5000)).with(func(e *Entry) { e.Mode |= 0o4000 }),
		file("usr/bin/ping", pattern("ping", 9000)).with(func(e *Entry) {
			e.Xattrs = map[string]string{"security.capability": capability, "trusted.overlay.opaque": "y", "user.empty": ""}
		}),
		dir("usr", 0o755).with(func(e *Entry) { e.MTime = 5; e.UID = 70000; e.GID = math.MaxUint32 - 1 }), // after its entries
		{Entry: Entry{Path: "usr/bin/ping4", Mode: 0}, target: "usr/bin/ping"},
		{Entry: Entry{Path: "ping6"}, target: "usr/bin/ping4"},
		{Entry: Entry{Path: "bin", Mode: ModeSymlink | 0o777, Linkname: "usr/bin", MTime: buildTime}},
		{Entry: Entry{Path: "long", Mode: ModeSymlink | 0o777, Linkname: strings.Repeat("x", 4095), MTime: 1}},
		{Entry: Entry{Path: "bin2"}, target: "bin"},
		{Entry: Entry{Path: "dev/console", Mode: ModeChar | 0o600, Major: 5, Minor: 1, MTime: buildTime}},
		{Entry: Entry{Path: "dev/vda300", Mode: ModeBlock | 0o660, GID: 6, Major: 4095, Minor: maxMinor, MTime: buildTime}},
		{Entry: Entry{Path: "run/fifo", Mode: ModeFIFO | 0o600, MTime: buildTime, MTimeNsec: 999999999}},
		{Entry: Entry{Path: "run/sock", Mode: ModeSocket | 0o666, MTime: -1}},
		dir("tmp", 0o1777),
		dir("tmp/large-gid", 0o755).with(func(e *Entry) { e.GID = 65536 }),
		dir("mail", 0o2775).with(func(e *Entry) {
			e.Xattrs = map[string]string{"system.posix_acl_default": acl, "system.posix_acl_access": acl}
		}),
		file("xattrs", pattern("x", 100)).with(func(e *Entry) {
			e.Xattrs = map[string]string{"user.a": string(pattern("a", 60000)), "user.b": string(pattern("b", 3)), "user." + strings.Repeat("n", 250): "n"}
		}),
		file("xattrs-and-tail", pattern("y", 4096+1500)).with(func(e *Entry) {
			e.Xattrs = map[string]string{"user.a": string(pattern("a", 2400))}
		}),
		file("xattrs-and-no-room-for-the-tail", pattern("y", 4096+1800)).with(func(e *Entry) {
			e.Xattrs = map[string]string{"user.a": string(pattern("a", 2400))}
		}),
		file(strings.Repeat("ü", 127)+"/"+strings.Repeat("\xff", 255), []byte("not UTF-8")),
		file("! sorts before the dots", []byte("!")),
		dir("empty", 0o700).with(func(e *Entry) { e.UID = 65536 }),
	}
	for _, n := range []int{1, 31, 2047, 2048, 2049, 4095, 4096, 4097, 6144, 6145, 8192, 1<<20 - 1, 1 << 20, 3<<20 + 77} {
		items = append(items, file(fmt.Sprintf("size/%d", n), pattern(fmt.Sprint(n), n)))
	}
	return append(items, manyNames()...)
}

// expected returns the nodes that a reader must see, for items that do not replace
// each other.
func expected(items []item, o Options) map[string]node {
	nodes := map[string]node{".": {Mode: 0o755, Type: fs.ModeDir, MTime: o.BuildTime, Xattrs: map[string]string{}}}
	for _, i := range items {
		for p := i.Path; p != "."; {
			p = parentOf(p)
			if _, ok := nodes[p]; !ok {
				nodes[p] = node{Mode: 0o755, Type: fs.ModeDir, MTime: o.BuildTime, Xattrs: map[string]string{}}
			}
		}
		if i.target != "" {
			nodes[i.Path] = nodes[i.target]
			continue
		}
		nodes[i.Path] = i.node()
	}
	for path, n := range nodes {
		n.Nlink = links(items, nodes, path)
		nodes[path] = n
	}
	return nodes
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

func (i item) node() node {
	n := node{Mode: i.Mode & 0o7777, UID: i.UID, GID: i.GID, MTime: i.MTime, Nsec: i.MTimeNsec, Xattrs: map[string]string{}}
	maps.Copy(n.Xattrs, i.Xattrs)
	switch i.Mode & ModeType {
	case ModeDir:
		n.Type = fs.ModeDir
	case ModeSymlink:
		n.Type, n.Content, n.Size = fs.ModeSymlink, i.Linkname, int64(len(i.Linkname))
	case ModeRegular:
		n.Content, n.Size = hashOf(i.content), i.Size
	case ModeFIFO:
		n.Type = fs.ModeNamedPipe
	case ModeSocket:
		n.Type = fs.ModeSocket
	case ModeChar:
		n.Type, n.Rdev = fs.ModeDevice|fs.ModeCharDevice, i.Minor&0xff|i.Major<<8|i.Minor&^0xff<<12
	case ModeBlock:
		n.Type, n.Rdev = fs.ModeDevice, i.Minor&0xff|i.Major<<8|i.Minor&^0xff<<12
	}
	return n
}

func links(items []item, nodes map[string]node, path string) int {
	if nodes[path].Type.IsDir() {
		count := 2
		for p, n := range nodes {
			if p != "." && n.Type.IsDir() && parentOf(p) == path {
				count++
			}
		}
		return count
	}
	first := map[string]string{}
	count := map[string]int{}
	for _, i := range items {
		first[i.Path] = i.Path
		if i.target != "" {
			first[i.Path] = first[i.target]
		}
		count[first[i.Path]]++
	}
	return count[first[path]]
}

func diffNodes(want, got map[string]node) string {
	return cmp.Diff(want, got, cmpopts.IgnoreFields(node{}, "Ino"))
}

func TestEverythingReadsBack(t *testing.T) {
	for _, o := range []Options{
		{BuildTime: buildTime, UUID: [16]byte{1, 2, 3}},
		{BuildTime: 1, InlineBudget: 1},    // no inline tails
		{BuildTime: 1, InlineBudget: 7000}, // a few
	} {
		f := tempImage(t, o, func(w *Writer) { add(t, w, everything()) })
		got := readImage(t, f)
		if diff := diffNodes(expected(everything(), o), got); diff != "" {
			t.Errorf("%+v: -want +got\n%s", o, diff)
		}
		for _, pair := range [][2]string{{"usr/bin/ping", "ping6"}, {"usr/bin/ping4", "ping6"}, {"bin", "bin2"}} {
			if got[pair[0]].Ino != got[pair[1]].Ino {
				t.Errorf("%q and %q are not the same inode", pair[0], pair[1])
			}
		}
		for path, n := range got {
			if n.Ino == 0 {
				t.Errorf("%q has inode number 0", path)
			}
		}
	}
}

func TestSameCallsSameBytes(t *testing.T) {
	build := func() []byte {
		f := tempImage(t, Options{BuildTime: buildTime}, func(w *Writer) { add(t, w, everything()) })
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(build(), build()) {
		t.Error("two images of the same calls differ")
	}
}

func TestOldContentOfThePartitionDoesNotShow(t *testing.T) {
	build := func(f *os.File) []byte {
		w := NewWriter(f, Options{BuildTime: buildTime})
		add(t, w, everything())
		size, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	clean, dirty := tempImage(t, Options{}, func(*Writer) {}), tempImage(t, Options{}, func(*Writer) {})
	if _, err := dirty.WriteAt(bytes.Repeat([]byte{0xa5}, 16<<20), 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(build(clean), build(dirty)) {
		t.Error("the image depends on what was there before")
	}
}

func TestRemove(t *testing.T) {
	items := []item{file("d/a", []byte("a")), file("d/sub/b", []byte("b")), file("keep", []byte("k")), {Entry: Entry{Path: "d/sub/k"}, target: "keep"}}
	f := tempImage(t, Options{BuildTime: buildTime}, func(w *Writer) {
		add(t, w, items)
		if err := w.Remove("d/sub"); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"d/sub", "d/sub/b", "nothing", ".", ""} {
			if err := w.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Remove(%q): %v", path, err)
			}
		}
		add(t, w, []item{file("d/sub", []byte("now a file"))})
	})
	want := expected([]item{items[0], items[2], file("d/sub", []byte("now a file"))}, Options{BuildTime: buildTime})
	if diff := diffNodes(want, readImage(t, f)); diff != "" {
		t.Error(diff)
	}
}

func TestHas(t *testing.T) {
	tempImage(t, Options{}, func(w *Writer) {
		add(t, w, []item{file("a/b", nil)})
		for path, want := range map[string][2]bool{".": {true, true}, "a": {true, true}, "a/b": {true, false}, "a/b/c": {}, "x": {}, "": {}} {
			if exists, isDir := w.Has(path); [2]bool{exists, isDir} != want {
				t.Errorf("Has(%q) = %v, %v", path, exists, isDir)
			}
		}
	})
}

// sparse remembers only pieces that are not all zeros.
type sparse struct {
	pieces map[int64][]byte
	size   int64
}

func (s *sparse) WriteAt(b []byte, off int64) (int, error) {
	for i := 0; i < len(b); i += BlockSize {
		piece := b[i:min(i+BlockSize, len(b))]
		if !bytes.Equal(piece, make([]byte, BlockSize)[:len(piece)]) {
			s.pieces[off+int64(i)] = bytes.Clone(piece)
		}
	}
	s.size = max(s.size, off+int64(len(b)))
	return len(b), nil
}

func (s *sparse) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); {
		at := (off + int64(n)) / BlockSize * BlockSize
		from := int(off + int64(n) - at)
		piece := make([]byte, BlockSize)
		copy(piece, s.pieces[at])
		n += copy(b[n:], piece[from:])
	}
	return len(b), nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestFileBeyond4GiB(t *testing.T) {
	const size = 4<<30 + 3
	s := &sparse{pieces: map[int64][]byte{}}
	w := NewWriter(s, Options{BuildTime: buildTime})
	content := io.MultiReader(io.LimitReader(zeros{}, size-3), strings.NewReader("end"))
	if err := w.Add(Entry{Path: "big", Mode: ModeRegular | 0o600, Size: size, MTime: buildTime}, content); err != nil {
		t.Fatal(err)
	}
	add(t, w, []item{file("small", []byte("after"))})
	if n, err := w.Close(); err != nil || n != s.size {
		t.Fatalf("Close: %d, %v; written %d", n, err, s.size)
	}
	img := openImage(t, s)
	fi, err := fs.Stat(img, "big")
	if err != nil || fi.Size() != size {
		t.Fatalf("size %d, %v, want %d", fi.Size(), err, int64(size))
	}
	ranges := fi.(interface{ DataRange() []goerofs.DataRange }).DataRange()
	if len(ranges) != 2 || ranges[0].Size != size-3 || ranges[1].Size != 3 {
		t.Fatalf("data ranges %+v, want 4 GiB of blocks and an inline tail", ranges)
	}
	end := make([]byte, 3)
	if _, err := s.ReadAt(end, ranges[1].Offset); err != nil || string(end) != "end" {
		t.Errorf("the file ends with %q, %v", end, err)
	}
	if b, err := fs.ReadFile(img, "small"); err != nil || string(b) != "after" {
		t.Errorf("the next file has %q, %v", b, err)
	}
}

// TestSuperblockChecksum computes the CRC-32C of Linux bit by bit: it starts
// with all ones, ends without inversion, and takes its own field as zero.
func TestSuperblockChecksum(t *testing.T) {
	f := tempImage(t, Options{BuildTime: buildTime}, func(w *Writer) { add(t, w, everything()) })
	b := make([]byte, BlockSize-1024)
	if _, err := f.ReadAt(b, 1024); err != nil {
		t.Fatal(err)
	}
	got := binary.LittleEndian.Uint32(b[4:])
	clear(b[4:8])
	want := ^uint32(0)
	for _, c := range b {
		want ^= uint32(c)
		for range 8 {
			want = want>>1 ^ want&1*0x82f63b78
		}
	}
	if got != want {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
}

// TestDotDot checks entries that no reader shows.
func TestDotDot(t *testing.T) {
	var a, b *inode
	tempImage(t, Options{}, func(w *Writer) {
		add(t, w, []item{file("a/b/c", nil)})
		a = w.root.entries["a"]
		b = a.entries["b"]
	})
	block := b.dir.encode(b, 0)
	for i, want := range []*inode{b, a, b.entries["c"]} {
		if got := binary.LittleEndian.Uint64(block[i*direntSize:]); got != want.nid() {
			t.Errorf("entry %d is for the nid %d, want %d", i, got, want.nid())
		}
	}
}

// TestSlackIsZero: the block after a file's last byte is zeros, not the buffer's old
// content.
func TestSlackIsZero(t *testing.T) {
	f := tempImage(t, Options{}, func(w *Writer) {
		add(t, w, []item{file("full", bytes.Repeat([]byte{0xff}, 3*bufferSize)), file("slack", bytes.Repeat([]byte{0xff}, BlockSize+3000))})
	})
	fi, err := fs.Stat(openImage(t, f), "slack")
	if err != nil {
		t.Fatal(err)
	}
	at := fi.(interface{ DataRange() []goerofs.DataRange }).DataRange()[0]
	slack := make([]byte, BlockSize-3000)
	if _, err := f.ReadAt(slack, at.Offset+at.Size); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(slack, make([]byte, len(slack))) {
		t.Errorf("the slack holds % x…", slack[:16])
	}
}
