// SPDX-License-Identifier: Apache-2.0

package fat32_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/powercut"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

const size = 34 * mib

var later = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func smallTree() []fat32.File {
	return []fat32.File{
		{Path: "EFI/debian/grub.cfg", Data: []byte("set timeout=1\n")},
		{Path: "EFI/BOOT/BOOTX64.EFI", Data: bytes.Repeat([]byte("shim"), 3_001)},
		{Path: "VMLINUZ", Data: bytes.Repeat([]byte{7}, 9_000)},
		{Path: "EMPTY"},
	}
}

func newDisk(t testing.TB, files []fat32.File) *powercut.Disk {
	t.Helper()
	image := make(memory, size)
	if err := fat32.Write(image, size, files, options); err != nil {
		t.Fatal(err)
	}
	return powercut.New(image)
}

type memory []byte

func (m memory) WriteAt(p []byte, offset int64) (int, error) { return copy(m[offset:], p), nil }

// contents reads all files with our reader.
func contents(r io.ReaderAt) (map[string]string, error) {
	v, err := fat32.Open(r, size)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	return files, walk(v, "", files)
}

func walk(v *fat32.Volume, dir string, files map[string]string) error {
	list, err := v.List(dir)
	if strings.Count(dir, "/") > 8 {
		return errors.New("a directory is in itself")
	}
	for _, e := range list {
		path := strings.TrimPrefix(dir+"/"+e.Name, "/")
		if e.Dir {
			if err := walk(v, path, files); err != nil {
				return err
			}
			continue
		}
		data, err := v.ReadFile(path)
		if err != nil {
			return err
		}
		if int64(len(data)) != e.Size {
			return fmt.Errorf("%s has %d bytes, its entry says %d", path, len(data), e.Size)
		}
		files[path] = string(data)
	}
	return err
}

func asMap(files []fat32.File) map[string]string {
	m := map[string]string{}
	for _, f := range files {
		m[f.Path] = string(f.Data)
	}
	return m
}

func TestReadWhatWeWrite(t *testing.T) {
	got, err := contents(newDisk(t, smallTree()))
	if diff := cmp.Diff(asMap(smallTree()), got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got)\n%.2000s", err, diff)
	}
}

func TestExtents(t *testing.T) {
	d := newDisk(t, smallTree())
	v, err := fat32.Open(d, size)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Extents("efi/boot/bootx64.efi")
	if err != nil || len(got) != 1 || got[0].Length != 12_004 {
		t.Fatalf("got %v, %v", got, err)
	}
	b := make([]byte, 8)
	if _, err := d.ReadAt(b, got[0].Offset); err != nil || string(b) != "shimshim" {
		t.Errorf("at the extent is %q, %v", b, err)
	}
	for _, path := range []string{"NONE", "EFI/NONE/A", "VMLINUZ/A"} {
		if _, err := v.Extents(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := v.ReadFile("EFI"); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory is read: %v", err)
	}
}

// changes are changes of a volume, each with the files after it.
func changes() []struct {
	name string
	do   func(fat32.Device) error
	want func(map[string]string)
} {
	put := func(path, data string) func(fat32.Device) error {
		return func(d fat32.Device) error {
			return fat32.Replace(d, size, fat32.File{Path: path, Data: []byte(data)}, later)
		}
	}
	set := func(path, data string) func(map[string]string) {
		return func(m map[string]string) { m[path] = data }
	}
	long := strings.Repeat("new!", 5_000)
	return []struct {
		name string
		do   func(fat32.Device) error
		want func(map[string]string)
	}{
		{"larger", put("EFI/debian/grub.cfg", long), set("EFI/debian/grub.cfg", long)},
		{"smaller", put("EFI/BOOT/BOOTX64.EFI", "s"), set("EFI/BOOT/BOOTX64.EFI", "s")},
		{"other case", put("efi/boot/bootx64.efi", long), set("EFI/BOOT/BOOTX64.EFI", long)},
		{"empty", put("VMLINUZ", ""), set("VMLINUZ", "")},
		{"no longer empty", put("EMPTY", "x"), set("EMPTY", "x")},
		{"new file", put("EFI/BOOT/mmx64.efi", long), set("EFI/BOOT/mmx64.efi", long)},
		{"new empty file", put("NEW", ""), set("NEW", "")},
		{"new directories", put("EFI/KAIROS/X/grubx64.efi", long), set("EFI/KAIROS/X/grubx64.efi", long)},
		{"removed", func(d fat32.Device) error { return fat32.Remove(d, size, "VMLINUZ") }, func(m map[string]string) { delete(m, "VMLINUZ") }},
	}
}

// TestEveryCut: after a power cut at any moment, all files are as before the change,
// or all are as after it; and the change can be repeated on the result.
func TestEveryCut(t *testing.T) {
	for _, c := range changes() {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, smallTree())
			if err := c.do(d); err != nil {
				t.Fatal(err)
			}
			if d.Pending() != 0 {
				t.Errorf("%d sectors are not flushed", d.Pending())
			}
			old, changed := asMap(smallTree()), asMap(smallTree())
			c.want(changed)
			checkCuts(t, d, old, changed, c.do)
		})
	}
}

func checkCuts(t *testing.T, d *powercut.Disk, old, changed map[string]string, again func(fat32.Device) error) {
	t.Helper()
	n, olds := 0, 0
	for when, state := range d.States(40, 7) {
		n++
		got, err := contents(state)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		switch {
		case maps.Equal(got, old):
			olds++
		case !maps.Equal(got, changed):
			t.Fatalf("%s: neither old nor new: -new +got\n%.1500s", when, cmp.Diff(changed, got))
		}
		if n%7 != 0 {
			continue
		}
		err = again(state)
		if errors.Is(err, fs.ErrNotExist) { // it was removed already
			err = fat32.Reclaim(state, size)
		}
		if err != nil {
			t.Fatalf("%s: again: %v", when, err)
		}
		if got, err := contents(state); err != nil || !maps.Equal(got, changed) {
			t.Fatalf("%s: again: error %v, -want +got\n%.1500s", when, err, cmp.Diff(changed, got))
		}
		checkFATs(t, state)
	}
	if got, err := contents(d); err != nil || !maps.Equal(got, changed) {
		t.Errorf("at the end: %v\n%.1500s", err, cmp.Diff(changed, got))
	}
	if olds == 0 || olds == n {
		t.Errorf("of %d states %d are the old one", n, olds)
	}
	checkFATs(t, d)
}

// checkFATs checks that the copies are equal, and without lost clusters.
func checkFATs(t *testing.T, d *powercut.Disk) {
	t.Helper()
	b := make([]byte, size)
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	reserved, length := int(le.Uint16(b[14:]))*512, int(le.Uint32(b[36:]))*512
	one, two := b[reserved:reserved+length], b[reserved+length:reserved+2*length]
	if !bytes.Equal(one, two) {
		t.Fatalf("the FATs differ at %#x", firstDifference(one, two))
	}
	free := uint32(0)
	clusters := uint32(size-reserved-2*length) / 512 / uint32(b[13])
	for c := uint32(2); c < clusters+2; c++ {
		if le.Uint32(one[4*c:]) == 0 {
			free++
		}
	}
	if said := le.Uint32(b[512+488:]); said != free {
		t.Fatalf("FSInfo says %d clusters are free, the FAT %d", said, free)
	}
}

// TestManyChanges fills a directory beyond its clusters, and empties it.
func TestManyChanges(t *testing.T) {
	d := newDisk(t, smallTree())
	want := asMap(smallTree())
	for i := range 40 {
		name := fmt.Sprintf("EFI/BOOT/F%d", i)
		want[name] = name
		if err := fat32.Replace(d, size, fat32.File{Path: name, Data: []byte(name)}, later); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 40; i += 2 {
		name := fmt.Sprintf("EFI/BOOT/F%d", i)
		delete(want, name)
		if err := fat32.Remove(d, size, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := fat32.Replace(d, size, fat32.File{Path: "EFI/BOOT/LAST", Data: []byte("x")}, later); err != nil {
		t.Fatal(err)
	}
	want["EFI/BOOT/LAST"] = "x"
	got, err := contents(d)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v\n%.2000s", err, diff)
	}
	checkFATs(t, d)
	onFile(t, d, want)
}

// TestFullDirectory cuts the power while a directory is extended.
func TestFullDirectory(t *testing.T) {
	files := smallTree()
	for i := range 512/32 - 4 - 1 { // with the label, and 3 entries of smallTree
		files = append(files, fat32.File{Path: fmt.Sprintf("F%d", i)})
	}
	d := newDisk(t, files)
	add := func(d fat32.Device) error {
		for _, name := range []string{"X1", "X2"} {
			if err := fat32.Replace(d, size, fat32.File{Path: name, Data: []byte("x")}, later); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(d); err != nil {
		t.Fatal(err)
	}
	for when, state := range d.States(20, 3) {
		got, err := contents(state)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		delete(got, "X1")
		delete(got, "X2")
		if diff := cmp.Diff(asMap(files), got); diff != "" {
			t.Fatalf("%s: %.1000s", when, diff)
		}
	}
}

// onFile checks the disk with go-diskfs, and with fsck.fat where it is installed.
func onFile(t *testing.T, d *powercut.Disk, want map[string]string) {
	t.Helper()
	b := make([]byte, size)
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fat.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	upper := map[string]string{}
	for name, data := range want {
		upper[strings.ToUpper(name)] = data
	}
	if diff := cmp.Diff(upper, readAll(t, path, size)); diff != "" {
		t.Errorf("go-diskfs: %.2000s", diff)
	}
	fsck, err := exec.LookPath("fsck.fat")
	if err != nil {
		if fsck = "/usr/sbin/fsck.fat"; !exists(fsck) {
			t.Log("NOT CHECKED with fsck.fat: it is not installed (package dosfstools)")
			return
		}
	}
	if out, err := exec.CommandContext(t.Context(), fsck, "-n", path).CombinedOutput(); err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, out)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestOthersReadWhatWeReplace(t *testing.T) {
	for _, c := range changes() {
		d := newDisk(t, smallTree())
		if err := c.do(d); err != nil {
			t.Fatal(err)
		}
		want := asMap(smallTree())
		c.want(want)
		onFile(t, d, want)
	}
}

func TestReplaceRefuses(t *testing.T) {
	big := make([]byte, 20*mib)
	for _, c := range []struct {
		name, path string
		data       []byte
		want       string
	}{
		{"long name", "EFI/longername.cfg", nil, "8.3"},
		{"directory", "EFI", nil, "directory"},
		{"below a file", "VMLINUZ/A", nil, "file, not a directory"},
		{"no space", "NEW", append(big, big...), "no space left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, smallTree())
			err := fat32.Replace(d, size, fat32.File{Path: c.path, Data: c.data}, later)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(d.Written()[0]) != 0 {
				t.Error("something was written")
			}
		})
	}
	if err := fat32.Remove(newDisk(t, smallTree()), size, "EFI"); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a full directory is removed: %v", err)
	}
}

// TestScattered: the largest free run is too small, but all free clusters suffice.
func TestScattered(t *testing.T) {
	var files []fat32.File
	for i := range 32 {
		files = append(files, fat32.File{Path: fmt.Sprintf("F%d", i), Data: bytes.Repeat([]byte{byte(i)}, mib)})
	}
	d := newDisk(t, files)
	for i := 0; i < 32; i += 2 {
		if err := fat32.Remove(d, size, files[i].Path); err != nil {
			t.Fatal(err)
		}
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 10*mib/16)
	if err := fat32.Replace(d, size, fat32.File{Path: "BIG", Data: want}, later); err != nil {
		t.Fatal(err)
	}
	v, err := fat32.Open(d, size)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.ReadFile("BIG"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("error %v, %d bytes", err, len(got))
	}
	if e, err := v.Extents("BIG"); err != nil || len(e) < 5 {
		t.Errorf("extents %v, %v: the test is about many", e, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := make(memory, size)
	if err := fat32.Write(good, size, smallTree(), options); err != nil {
		t.Fatal(err)
	}
	reserved := int(binary.LittleEndian.Uint16(good[14:])) * 512
	root := reserved + 4*2
	for _, c := range []struct {
		name string
		at   int
		put  []byte
		want error
	}{
		{"no signature", 510, []byte{0}, fat32.ErrNotFAT32},
		{"large sectors", 11, []byte{0, 16}, fat32.ErrNotFAT32},
		{"FAT16", 22, []byte{9}, fat32.ErrNotFAT32},
		{"clusters of 3", 13, []byte{3}, fat32.ErrNotFAT32},
		{"larger than the device", 32, []byte{0, 0, 0, 9}, fat32.ErrDamaged},
		{"short FAT", 36, []byte{1, 0, 0, 0}, fat32.ErrDamaged},
		{"loop", root, []byte{2, 0, 0, 0}, fat32.ErrDamaged},
		{"beyond the end", root, []byte{0, 0, 0xff, 7}, fat32.ErrDamaged},
		{"free cluster in a chain", root, []byte{0, 0, 0, 0}, fat32.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := bytes.Clone(good)
			copy(image[c.at:], c.put)
			d := powercut.New(image)
			_, err := contents(d)
			if !errors.Is(err, c.want) {
				t.Errorf("reading: %v, want %v", err, c.want)
			}
			if err := fat32.Replace(d, size, fat32.File{Path: "NEW"}, later); !errors.Is(err, c.want) {
				t.Errorf("replacing: %v, want %v", err, c.want)
			}
		})
	}
}

// FuzzOpen damages the metadata: nothing panics or loops, and a volume that can be
// changed can be read.
func FuzzOpen(f *testing.F) {
	image := make(memory, size)
	if err := fat32.Write(image, size, smallTree(), options); err != nil {
		f.Fatal(err)
	}
	reserved := uint32(binary.LittleEndian.Uint16(image[14:])) * 512
	data := reserved + 2*512*binary.LittleEndian.Uint32(image[36:])
	f.Add(uint32(13), []byte{64})
	f.Add(reserved+8, []byte{3})
	f.Add(data+32, []byte{0xe5})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		base := at / 512 * 512
		if int(base)+512 > len(image) {
			return
		}
		d := powercut.New(image)
		sector := bytes.Clone(image[base : base+512])
		copy(sector[at-base:], patch)
		if _, err := d.WriteAt(sector, int64(base)); err != nil {
			t.Fatal(err)
		}
		if _, err := contents(d); err != nil {
			return
		}
		if err := fat32.Replace(d, size, fat32.File{Path: "A/B", Data: []byte("x")}, later); err != nil {
			return
		}
		v, err := fat32.Open(d, size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.ReadFile("A/B"); err != nil || string(got) != "x" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
