// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

const buildTime = 1700000000

// An item is an entry with its content, or a hard link when target is set.
type item struct {
	Entry
	content []byte
	target  string
}

func regular(name string, size int) item {
	return item{Entry: Entry{Path: name, Mode: erofs.ModeRegular | 0o644, MTime: buildTime, Size: int64(size)}, content: pattern(name, size)}
}

func (i item) with(f func(*Entry)) item { f(&i.Entry); return i }

// pattern is content that depends on the name and repeats nowhere in a block.
func pattern(name string, size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		b.Write(sum[:])
	}
	return b.Bytes()[:size]
}

// everything has an item of each kind that the format can hold.
func everything() []item {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	label := map[string]string{"security.selinux": "system_u:object_r:bin_t:s0\x00"}
	items := []item{
		{Entry: Entry{Path: ".", Mode: erofs.ModeDir | 0o755, MTime: 1234567890, Xattrs: map[string]string{"user.root": "yes"}}},
		regular("etc/empty", 0),
		regular("usr/bin/sudo", 5000).with(func(e *Entry) { e.Mode |= 0o4000; e.Xattrs = label }),
		regular("usr/bin/cat", 50000).with(func(e *Entry) { e.Xattrs = label }),
		regular("usr/bin/ping", 300000).with(func(e *Entry) {
			e.Xattrs = map[string]string{"security.capability": capability, "trusted.overlay.opaque": "y", "user.empty": ""}
		}),
		{Entry: Entry{Path: "usr", Mode: erofs.ModeDir | 0o755, MTime: 5, UID: 70000, GID: 1<<32 - 2}}, // after its entries
		{Entry: Entry{Path: "usr/bin/ping4"}, target: "usr/bin/ping"},
		{Entry: Entry{Path: "ping6"}, target: "usr/bin/ping4"},
		{Entry: Entry{Path: "bin", Mode: erofs.ModeSymlink | 0o777, Linkname: "usr/bin", MTime: buildTime}},
		{Entry: Entry{Path: "absolute", Mode: erofs.ModeSymlink | 0o777, Linkname: "/bin/cat", MTime: buildTime, Xattrs: label}},
		{Entry: Entry{Path: "long", Mode: erofs.ModeSymlink | 0o777, Linkname: strings.Repeat("x", 4095), MTime: 1}},
		{Entry: Entry{Path: "bin2"}, target: "bin"},
		{Entry: Entry{Path: "dev/console", Mode: erofs.ModeChar | 0o600, Major: 5, Minor: 1, MTime: buildTime, Xattrs: label}},
		{Entry: Entry{Path: "dev/vda300", Mode: erofs.ModeBlock | 0o660, GID: 6, Major: 4095, Minor: 1<<20 - 1, MTime: buildTime}},
		{Entry: Entry{Path: "run/fifo", Mode: erofs.ModeFIFO | 0o600, MTime: buildTime, MTimeNsec: 999999999}},
		{Entry: Entry{Path: "run/sock", Mode: erofs.ModeSocket | 0o666, MTime: 0}},
		{Entry: Entry{Path: "tmp", Mode: erofs.ModeDir | 0o1777, MTime: buildTime}},
		{Entry: Entry{Path: "mail", Mode: erofs.ModeDir | 0o2775, MTime: buildTime}},
		regular("xattrs", 100).with(func(e *Entry) {
			e.Xattrs = map[string]string{"user.a": string(pattern("a", 3000)), "user." + strings.Repeat("n", 250): "n"}
		}),
		regular(strings.Repeat("ü", 127)+"/"+strings.Repeat("\xff", 255), 9),
		{Entry: Entry{Path: "empty", Mode: erofs.ModeDir | 0o700, UID: 65536, MTime: buildTime}},
	}
	for _, n := range []int{1, 4095, maxTail, maxTail + 1, blockSize - 1, blockSize, blockSize + 1, blockSize + maxTail, blockSize + maxTail + 1, 3*blockSize + 77} {
		items = append(items, regular(fmt.Sprintf("size/%d", n), n))
	}
	for i := range 1500 { // a list of more than 64 KiB, inodes in many blocks, several fragments
		items = append(items, regular(fmt.Sprintf("many/%04d%s", i*7919%1500, strings.Repeat("n", i%150)), i%600))
	}
	return items
}

func write(t testing.TB, items []item) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := NewWriter(f)
	for _, i := range items {
		if i.target != "" {
			err = w.Link(i.Path, i.target)
		} else {
			err = w.Add(i.Entry, bytes.NewReader(i.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.SetBuildTime(buildTime)
	size, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size || size%alignment != 0 {
		t.Fatalf("Close says %d bytes, the file has %d (%v)", size, info.Size(), err)
	}
	return f
}

// A seen is what a reader must see under a name.
type seen struct {
	Mode     uint32 // of st_mode
	UID, GID uint32
	MTime    int64
	Size     int64
	Content  string // of a file its SHA-256, of a link its target
	Rdev     uint32
	Nlink    uint32
	Xattrs   map[string]string
}

func expected(items []item) map[string]seen {
	all := map[string]seen{}
	names := map[string]uint32{} // of a file
	first := map[string]string{}
	for _, i := range items {
		for p := path.Dir(i.Path); ; p = path.Dir(p) {
			if _, ok := all[p]; !ok {
				all[p] = seen{Mode: erofs.ModeDir | 0o755, MTime: buildTime}
			}
			if p == "." {
				break
			}
		}
		if i.target != "" {
			to := i.target
			if f, ok := first[to]; ok {
				to = f
			}
			first[i.Path] = to
			names[to]++
			continue
		}
		n := newInode(i.Entry)
		s := seen{Mode: i.Mode, UID: i.UID, GID: i.GID, MTime: i.MTime, Size: n.size, Content: i.Linkname, Rdev: n.rdev, Xattrs: i.Xattrs}
		if n.kind() == typeFile {
			s.Content = fmt.Sprintf("%x", sha256.Sum256(i.content))
		}
		all[i.Path] = s
	}
	for p, s := range all {
		if s.Nlink = 1 + names[p]; s.Mode&erofs.ModeType == erofs.ModeDir {
			s.Nlink = 2
			for child, c := range all {
				if child != "." && path.Dir(child) == p && c.Mode&erofs.ModeType == erofs.ModeDir {
					s.Nlink++
				}
			}
		}
		all[p] = s
	}
	for name, to := range first {
		all[name] = all[to]
	}
	return all
}

// TestRoundTrip: our reader gives back what was added, without the attributes.
func TestRoundTrip(t *testing.T) {
	root, err := Open(write(t, everything()))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]seen{}
	err = fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		got[p], err = look(root, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := expected(everything())
	for p, s := range want {
		s.Xattrs = nil
		want[p] = s
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// look reads a name of one of our images.
func look(root fs.FS, p string) (seen, error) {
	i, err := fs.Lstat(root, p)
	if err != nil {
		return seen{}, err
	}
	n := i.(info)
	kind := map[uint16]uint32{typeDir: erofs.ModeDir, typeFile: erofs.ModeRegular, typeSymlink: erofs.ModeSymlink, typeBlock: erofs.ModeBlock, typeChar: erofs.ModeChar, typeFIFO: erofs.ModeFIFO, typeSocket: erofs.ModeSocket}[n.kind]
	bits := uint32(n.Mode().Perm())
	for bit, is := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n.Mode()&is != 0 {
			bits |= bit
		}
	}
	s := seen{Mode: kind | bits, UID: n.UID(), GID: n.GID(), MTime: n.ModTime().Unix(), Rdev: n.rdev, Nlink: n.nlink}
	switch n.kind {
	case typeFile:
		data, err := fs.ReadFile(root, p)
		s.Size, s.Content = n.Size(), fmt.Sprintf("%x", sha256.Sum256(data))
		return s, err
	case typeSymlink:
		s.Content, err = fs.ReadLink(root, p)
	}
	return s, err
}

func TestSameBytes(t *testing.T) {
	var sums [2][]byte
	for i := range sums {
		data, err := os.ReadFile(write(t, everything()).Name())
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = data
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Error("the same calls gave other bytes")
	}
}

func TestLinksInside(t *testing.T) {
	root, err := Open(write(t, append(everything(),
		item{Entry: Entry{Path: "up", Mode: erofs.ModeSymlink | 0o777, Linkname: "../../etc/../usr/bin"}},
		item{Entry: Entry{Path: "loop", Mode: erofs.ModeSymlink | 0o777, Linkname: "loop"}})))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"absolute", "bin/cat", "up/cat", "bin2/cat"} {
		if data, err := fs.ReadFile(root, name); err != nil || !bytes.Equal(data, pattern("usr/bin/cat", 50000)) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	for name, want := range map[string]string{"loop": "too many symbolic links", "nothing": "not exist", "bin/cat/x": "not a directory", "../etc": "invalid"} {
		if _, err := fs.Stat(root, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	w := NewWriter(discard{})
	good := regular("dir/file", 10)
	if err := w.Add(good.Entry, bytes.NewReader(good.content)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		item item
		want string
	}{
		{"twice", good, "file already exists"},
		{"a file as a folder", regular("dir/file/x", 0), "is no directory"},
		{"too short", item{Entry: Entry{Path: "a", Mode: erofs.ModeRegular, Size: 200000}, content: make([]byte, 199999)}, "it ends too early"},
		{"a tail too short", item{Entry: Entry{Path: "a", Mode: erofs.ModeRegular, Size: 20}, content: make([]byte, 19)}, "it ends too early"},
		{"too long", item{Entry: Entry{Path: "a", Mode: erofs.ModeRegular, Size: 20}, content: make([]byte, 21)}, "it goes on behind it"},
		{"an ACL", regular("a", 0).with(func(e *Entry) { e.Xattrs = map[string]string{"system.posix_acl_access": "x"} }), `xattr "system.posix_acl_access" has no form in SquashFS`},
		{"no type", item{Entry: Entry{Path: "a", Mode: 0o644}}, "has no file type"},
		{"an unclean path", regular("a/../b", 0), "not clean and relative"},
		{"no target", item{Entry: Entry{Path: "a", Mode: erofs.ModeSymlink}}, "a link target of 0 bytes"},
		{"a large device", item{Entry: Entry{Path: "a", Mode: erofs.ModeChar, Major: 4096}}, "device number 4096:0 is beyond"},
	} {
		if err := w.Add(tt.item.Entry, bytes.NewReader(tt.item.content)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	for target, want := range map[string]error{"nothing": fs.ErrNotExist, "dir": fs.ErrInvalid} {
		if err := w.Link("l", target); !errors.Is(err, want) {
			t.Errorf("a link to %s: %v, want %v", target, err, want)
		}
	}
	if err := errors.Join(w.Remove("dir")); err != nil {
		t.Fatal(err)
	}
	if exists, _ := w.Has("dir/file"); exists {
		t.Error("a removed file is there")
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(good.Entry, bytes.NewReader(good.content)); err == nil || !strings.Contains(err.Error(), "was closed") {
		t.Errorf("after Close: %v", err)
	}
}

type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// FuzzOpen: a damaged image gives errors, and neither a panic nor an endless walk.
func FuzzOpen(f *testing.F) {
	data, err := os.ReadFile(write(f, slices.DeleteFunc(everything(), func(i item) bool {
		return strings.HasPrefix(i.Path, "many/") || i.Size > 10000 || i.target == "usr/bin/ping" || i.Path == "ping6"
	})).Name())
	if err != nil {
		f.Fatal(err)
	}
	for _, at := range []int{0, 12, 26, 32, 40, 48, 64, 72, 80, len(data) - 4500, len(data) - 3000} {
		f.Add(uint(at), byte(0xff))
	}
	f.Fuzz(func(t *testing.T, at uint, value byte) {
		damaged := bytes.Clone(data)
		damaged[at%uint(len(damaged))] = value
		root, err := Open(bytes.NewReader(damaged))
		if err != nil {
			return
		}
		steps := 0
		err = fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
			if steps++; steps > 10000 {
				return fs.SkipAll
			}
			if err == nil && d.Type().IsRegular() {
				_, err = fs.ReadFile(root, p)
			}
			return err
		})
		_ = err // any error will do
	})
}

func TestOpenRefuses(t *testing.T) {
	data, err := os.ReadFile(write(t, everything()).Name())
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]string{0: "does not begin with", 12: "blocks of 131073 bytes", 28: "version 5", 64: "a table from"} {
		damaged := bytes.Clone(data)
		damaged[at]++
		if at == 64 {
			damaged[at+7] = 0xff
		}
		if _, err := Open(bytes.NewReader(damaged)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("byte %d: %v, want %s", at, err, want)
		}
	}
	if _, err := Open(bytes.NewReader(data[:50])); !errors.Is(err, io.EOF) {
		t.Errorf("a short image: %v", err)
	}
}
