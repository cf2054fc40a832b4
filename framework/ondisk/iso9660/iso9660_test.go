// SPDX-License-Identifier: Apache-2.0

package iso9660_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
)

const mib = 1 << 20

// content is a file's data that differs from every other file's.
func content(path string, size int) []byte {
	sum := sha256.Sum256([]byte(path))
	return bytes.Repeat(sum[:], size/len(sum)+1)[:size]
}

func files() []iso9660.File {
	var list []iso9660.File
	for _, f := range []struct {
		path string
		size int
	}{
		{"boot/grub/eltorito.img", 60_001}, {"boot/grub/grub.cfg", 1000}, {"kairos/VMLINUZ", 3 * mib}, {"kairos/INITRD", 4097},
		{"EFI/BOOT/BOOTX64.EFI", 2048}, {"empty", 0}, {"91_custom.yaml", 5}, {"kairos/config.space", 1 * mib},
	} {
		list = append(list, iso9660.File{Path: f.path, Size: int64(f.size), Data: bytes.NewReader(content(f.path, f.size))})
	}
	return append(list, iso9660.File{Path: "config.yaml", Size: 300, Within: "kairos/config.space", Offset: 512 << 10})
}

func options() iso9660.Options {
	mbr := append(bytes.Repeat([]byte{0x90}, 510), 0x55, 0xaa)
	return iso9660.Options{
		Label: "COS_LIVE", Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		ID:   func(what string) gpt.GUID { return gpt.DeriveGUID(sha256.Sum256([]byte(what))) },
		BIOS: &iso9660.BIOS{Path: "boot/grub/eltorito.img", MBR: mbr},
		EFI:  content("efi", 9*mib),
		Partitions: []iso9660.Partition{{
			Name: "persistent", Type: gpt.DeriveGUID(sha256.Sum256([]byte("linux"))), Size: 5*mib + 1,
			Write: func(w io.WriterAt) error { _, err := w.WriteAt([]byte("persistent"), 0); return err },
		}},
	}
}

// write writes an image, and returns its path and size.
func write(t *testing.T, list []iso9660.File, o iso9660.Options) (string, int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	result, err := iso9660.Write(t.Context(), f, list, o)
	if err := errors.Join(err, f.Truncate(result.Size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, result.Size
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contents reads all files of an image.
func contents(t *testing.T, b []byte) map[string]string {
	t.Helper()
	image, err := iso9660.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for path := range image.Files() {
		r, err := image.File(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(data)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	path, size := write(t, files(), options())
	b := read(t, path)
	want := map[string]string{}
	for _, f := range files() {
		want[f.Path] = string(content(f.Path, int(f.Size)))
	}
	want["config.yaml"] = string(content("kairos/config.space", 1*mib)[512<<10:][:300])
	got := contents(t, b)
	boot := []byte(want["boot/grub/eltorito.img"])
	copy(boot[8:64], got["boot/grub/eltorito.img"][8:64]) // TestBoot checks these
	copy(boot[2548:2556], got["boot/grub/eltorito.img"][2548:2556])
	want["boot/grub/eltorito.img"] = string(boot)
	if !maps.Equal(want, got) {
		t.Errorf("other files or contents: %v", slices.Sorted(maps.Keys(got)))
	}
	if planned, err := iso9660.Size(files(), options()); err != nil || planned != size || size != int64(len(b)) {
		t.Errorf("Size says %d (%v), Write %d, the file has %d", planned, err, size, len(b))
	}
	if label := iso9660.ReadLabel(bytes.NewReader(b)); label != "COS_LIVE" {
		t.Errorf("label %q", label)
	}
	again, _ := write(t, files(), options())
	if !bytes.Equal(b, read(t, again)) {
		t.Error("writing twice gives different bytes")
	}
}

// TestPartition: partition 1 is a file system of its own, with the same files.
func TestPartition(t *testing.T) {
	path, size := write(t, files(), options())
	b := read(t, path)
	table, err := gpt.Read(bytes.NewReader(b), size)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) []byte {
		p, ok := table.Partition(name)
		if !ok {
			t.Fatalf("no partition %s", name)
		}
		return b[p.Offset():][:p.Size()]
	}
	if diff := cmp.Diff(contents(t, b), contents(t, part(iso9660.PartISO))); diff != "" {
		t.Errorf("files of the device and of its partition:\n%.500s", diff)
	}
	if !bytes.Equal(part(iso9660.PartEFI), options().EFI) {
		t.Error("the EFI partition is not the EFI image")
	}
	if !bytes.HasPrefix(part("persistent"), []byte("persistent")) || len(part("persistent")) != 6*mib {
		t.Errorf("the last partition has %d bytes", len(part("persistent")))
	}
}

// TestBoot checks what firmware reads, from the specifications and not with our reader.
func TestBoot(t *testing.T) {
	path, _ := write(t, files(), options())
	b, le := read(t, path), binary.LittleEndian
	if string(b[17*2048:][:39]) != "\x00CD001\x01EL TORITO SPECIFICATION\x00\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("boot record: %q", b[17*2048:][:39])
	}
	catalog := b[int(le.Uint32(b[17*2048+0x47:]))*2048:]
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += le.Uint16(catalog[i:])
	}
	if sum != 0 || catalog[0] != 1 || catalog[1] != 0 || string(catalog[30:32]) != "\x55\xaa" {
		t.Errorf("validation entry % x, sum %d", catalog[:32], sum)
	}
	bios, efi := catalog[32:64], catalog[96:128]
	sector := int(le.Uint32(bios[8:]))
	image := b[sector*2048:][:60_001]
	if bios[0] != 0x88 || le.Uint16(bios[6:]) != 4 || le.Uint64(image[2548:]) != uint64(sector*4+5) {
		t.Errorf("BIOS entry % x; GRUB's sector is %d", bios, le.Uint64(image[2548:]))
	}
	var words uint32
	for padded := append(slices.Clone(image[64:]), 0, 0, 0)[:59_940]; len(padded) > 0; padded = padded[4:] {
		words += le.Uint32(padded)
	}
	got := []uint32{le.Uint32(image[8:]), le.Uint32(image[12:]), le.Uint32(image[16:]), le.Uint32(image[20:])}
	if diff := cmp.Diff([]uint32{16, uint32(sector), 60_001, words}, got); diff != "" {
		t.Errorf("boot info table (-want +got):\n%s", diff)
	}
	if header := catalog[64:68]; !bytes.Equal(header, []byte{0x91, 0xef, 1, 0}) || efi[0] != 0x88 || le.Uint16(efi[6:]) != 9*mib/512 {
		t.Errorf("EFI section % x, entry % x", header, efi)
	}
	if at := int(le.Uint32(efi[8:])) * 2048; at%mib != 0 || !bytes.HasPrefix(b[at:], options().EFI[:4096]) {
		t.Errorf("the EFI image is not at %d", at)
	}
	if le.Uint64(b[0x1b0:]) != uint64(sector*4+4) || !bytes.Equal(b[:0x1b0], options().BIOS.MBR[:0x1b0]) || b[446+4] != 0xee || b[462] != 0x80 {
		t.Errorf("MBR: % x", b[0x1b0:512])
	}
}

func TestWithoutBIOS(t *testing.T) {
	o := options()
	o.BIOS = nil
	path, _ := write(t, files(), o)
	b := read(t, path)
	catalog := b[35*2048:]
	if catalog[1] != 0xef || binary.LittleEndian.Uint16(catalog[32+6:]) != 9*mib/512 || !bytes.Equal(b[:440], make([]byte, 440)) {
		t.Errorf("catalog % x", catalog[:64])
	}
}

func TestRefuses(t *testing.T) {
	file := func(path string, size int64) []iso9660.File {
		return []iso9660.File{{Path: path, Size: size, Data: bytes.NewReader(nil)}}
	}
	for _, test := range []struct {
		name   string
		files  []iso9660.File
		change func(*iso9660.Options)
		want   string
	}{
		{"too large", file("root.img", 5<<30), nil, `"root.img": 5368709120 bytes: too large for an ISO 9660 file system: the limit for a file is 4294965248, 4 GiB`},
		{"absolute", file("/etc/passwd", 1), nil, "want a relative path"},
		{"up", file("../x", 1), nil, "want a relative path"},
		{"name", file("a;1", 1), nil, "without * / : ; ? \\"},
		{"long", file(strings.Repeat("x", 65), 1), nil, "at most 64 printable characters"},
		{"deep", file("1/2/3/4/5/6/7/8", 1), nil, "at most 8 directories"},
		{"twice", append(file("a", 1), file("a", 1)...), nil, "the name is taken"},
		{"alike", append(file("a-b", 1), file("a+b", 1)...), nil, `"a+b" and "a-b": not a name for an ISO 9660 file system: both are A_B.;1 on a CD-ROM`},
		{"label", nil, func(o *iso9660.Options) { o.Label = "cos live" }, "want 1 to 16 characters"},
		{"EFI", files(), func(o *iso9660.Options) { o.EFI = make([]byte, 32*mib) }, "less than 32 MiB"},
		{"boot image", append(file("boot/grub/eltorito.img", 10), files()[1:]...), nil, "is it made by grub-mkimage -O i386-pc-eltorito?"},
		{"MBR", files(), func(o *iso9660.Options) { o.BIOS.MBR = o.BIOS.MBR[:511] }, "want GRUB's boot_hybrid.img"},
	} {
		o := options()
		if test.name != "boot image" && test.name != "MBR" {
			o.BIOS = nil
		}
		if test.change != nil {
			test.change(&o)
		}
		written := false
		_, err := iso9660.Write(t.Context(), writer(func() { written = true }), test.files, o)
		if err == nil || !strings.Contains(err.Error(), test.want) || written {
			t.Errorf("%s: %v (written: %v), want %q", test.name, err, written, test.want)
		}
	}
}

type writer func()

func (w writer) WriteAt(b []byte, _ int64) (int, error) { w(); return len(b), nil }

func TestShortFile(t *testing.T) {
	o := options()
	o.BIOS = nil
	_, err := iso9660.Write(t.Context(), writer(func() {}), []iso9660.File{{Path: "kairos/root.img", Size: 10, Data: strings.NewReader("short")}}, o)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "kairos/root.img: reading 10 bytes at 0") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := iso9660.Write(ctx, writer(func() {}), files()[1:3], o); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
}

// TestPoint: the new content is found in every tree, on the device and on the partition,
// and no other byte changes.
func TestPoint(t *testing.T) {
	path, size := write(t, files(), options())
	before := read(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := iso9660.Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	space, _ := image.Extent("kairos/config.space")
	if err := image.Point(f, "config.yaml", iso9660.Extent{Offset: space.Offset, Size: 77_777}); err != nil {
		t.Fatal(err)
	}
	after := read(t, path)
	if got := contents(t, after)["config.yaml"]; got != string(content("kairos/config.space", 1*mib)[:77_777]) {
		t.Errorf("%d other bytes", len(got))
	}
	part := func(b []byte) []byte { return b[16*2048:] }
	if diff := cmp.Diff(contents(t, after)["config.yaml"], contents(t, part(after))["config.yaml"]); diff != "" {
		t.Error("the partition has the old content")
	}
	changed := 0
	for i := range before {
		if before[i] != after[i] {
			changed++
		}
	}
	if changed == 0 || changed > 4*16 {
		t.Errorf("%d bytes are others, want at most 16 for each of four trees", changed)
	}
	if err := image.Point(f, "none", iso9660.Extent{}); !errors.Is(err, iso9660.ErrNoFile) {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	path, size := write(t, files()[1:2], iso9660.Options{Label: "X", ID: options().ID})
	b := read(t, path)
	if _, err := iso9660.Open(bytes.NewReader(make([]byte, mib)), mib); !errors.Is(err, iso9660.ErrNotISO) {
		t.Error(err)
	}
	e, _ := func() (iso9660.Extent, bool) {
		image, err := iso9660.Open(bytes.NewReader(b), size)
		if err != nil {
			t.Fatal(err)
		}
		return image.Extent("boot/grub/grub.cfg")
	}()
	cut := b[:e.Offset+10]
	if _, err := iso9660.Open(bytes.NewReader(cut), int64(len(cut))); !errors.Is(err, iso9660.ErrDamaged) || !strings.Contains(err.Error(), "is it cut short?") {
		t.Error(err)
	}
}

// FuzzOpen: whatever is on a medium, Open ends, and every file that it finds is inside.
func FuzzOpen(f *testing.F) {
	var small bytes.Buffer
	image := &memory{}
	if _, err := iso9660.Write(f.Context(), image, []iso9660.File{{Path: "a/b.c", Size: 3, Data: strings.NewReader("abc")}}, iso9660.Options{Label: "X", ID: options().ID}); err != nil {
		f.Fatal(err)
	}
	small.Write(image.b[16*2048 : 80*2048]) // the system area says nothing
	f.Add(small.Bytes())
	f.Fuzz(func(t *testing.T, tail []byte) {
		b := append(make([]byte, 16*2048), tail...)
		image, err := iso9660.Open(bytes.NewReader(b), int64(len(b)))
		iso9660.ReadLabel(bytes.NewReader(b))
		if err != nil {
			return
		}
		for path, e := range image.Files() {
			if e.Offset < 0 || e.Size < 0 || e.Offset+e.Size > int64(len(b)) {
				t.Errorf("%q is at %d with %d bytes, outside of %d", path, e.Offset, e.Size, len(b))
			}
		}
	})
}

type memory struct{ b []byte }

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	if need := int(at) + len(b); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[at:], b), nil
}
