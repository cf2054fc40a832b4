// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// A device is a disk in memory. It refuses parts of sectors. Until Sync, Forget loses
// what was written.
type device struct {
	now, medium []byte
	left        int // writes until every write fails; negative: never
	rots        int64
	sector      int64 // 0: 512
}

var errIO = errors.New("input/output error")

// used is a device of size bytes that is full of old data.
func used(size int64) *device {
	d := &device{now: bytes.Repeat(noise(1<<20), int(size>>20)+1)[:size], left: -1}
	d.medium = bytes.Clone(d.now)
	return d
}

func (d *device) Size() int64   { return int64(len(d.now)) }
func (d *device) Sector() int64 { return max(d.sector, 512) }
func (d *device) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.now).ReadAt(p, off)
}
func (d *device) Sync() error { copy(d.medium, d.now); return nil }
func (d *device) Forget() error {
	copy(d.now, d.medium)
	if d.rots != 0 {
		d.now[d.rots] ^= 1
	}
	return nil
}

func (d *device) WriteAt(p []byte, off int64) (int, error) {
	if off%d.Sector() != 0 || int64(len(p))%d.Sector() != 0 || off < 0 || off+int64(len(p)) > d.Size() {
		return 0, fmt.Errorf("a write of %d bytes at %d", len(p), off)
	}
	if d.left == 0 {
		return 0, errIO
	}
	d.left--
	return copy(d.now[off:], p), nil
}

const larger = 250 << 20

// TestInstallation: a device that was full of other data gets the contents of the file that
// Write makes. Its table differs in GUIDs and the end of the last partition.
func TestInstallation(t *testing.T) {
	s := spec(t)
	path, made := write(t, s)
	want := mustRead(t, path)
	for _, sector := range []int64{gpt.SectorSize, gpt.LargeSector} {
		d := used(larger + 7*sector)
		d.sector = sector
		install(t, s, d)
		if err := d.Forget(); err != nil { // what was not flushed is lost
			t.Fatal(err)
		}
		checkContents(t, d, want, made)
	}
}

// checkContents compares a device with the file of the same disk.
func checkContents(t *testing.T, d *device, want []byte, made disk.Result) {
	t.Helper()
	for _, e := range made.Extents {
		if strings.Contains(e.Partition, "partition table") {
			continue
		}
		if !bytes.Equal(d.now[e.Offset:e.Offset+e.Size], want[e.Offset:e.Offset+e.Size]) {
			t.Errorf("%s: %d bytes at %d differ from the file's", e.Partition, e.Size, e.Offset)
		}
	}
	if !bytes.Equal(d.now[:446], want[:446]) || d.now[510] != 0x55 {
		t.Error("the boot code differs")
	}
	if sector := d.Sector(); !bytes.Equal(d.now[512:sector], make([]byte, sector-512)) {
		t.Error("sector 0 has old data behind the MBR")
	}
	checkInstalled(t, d, made.Table)
}

// checkInstalled compares the table of a device with that of the file.
func checkInstalled(t *testing.T, d *device, want *gpt.Table) {
	t.Helper()
	got, err := gpt.Read(d, d.Size())
	if err != nil || got.PrimaryFault != nil {
		t.Fatal(err, got)
	}
	if got.DiskGUID.Derived() || got.DiskGUID == want.DiskGUID {
		t.Errorf("the disk has the GUID of the image, %s", got.DiskGUID)
	}
	if got.Large != (d.Sector() == gpt.LargeSector) {
		t.Errorf("the table is for large sectors: %t", got.Large)
	}
	for i, p := range got.Partitions {
		w := want.Partitions[i]
		if p.ID.Derived() || p.ID == w.ID {
			t.Errorf("partition %s has the GUID of the image", p.Name)
		}
		if w.ID = p.ID; p.Name == layout.PartPersistent {
			w.Last = (d.Size()/512-33)/2048*2048 - 1
		}
		if diff := cmp.Diff(w, p); diff != "" {
			t.Error(diff)
		}
	}
}

// TestHoles: what a file leaves out as a hole is zero on a device, where it must be.
func TestHoles(t *testing.T) {
	s := spec(t)
	path, made := write(t, s)
	want := mustRead(t, path)
	d := used(larger)
	install(t, s, d)
	for _, name := range []string{layout.PartBIOS, layout.PartOEM, layout.PartPersistent} {
		p, _ := made.Table.Partition(name)
		if at := p.Offset(); !bytes.Equal(d.now[at:at+p.Size()], want[at:at+p.Size()]) {
			t.Errorf("partition %s has old data in its holes", name)
		}
	}
}

func install(t *testing.T, s disk.Spec, d *device) *disk.Installation {
	t.Helper()
	i, err := disk.NewInstallation(s, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return i
}

// TestStream: a root image that is written as a stream gives the same disk. A stream of
// another image leaves nothing that boots.
func TestStream(t *testing.T) {
	s := spec(t)
	d, same := used(larger), used(larger)
	install(t, s, d)
	root := s.Root
	tree := s.Image.Tree
	s.Root, s.Stream = nil, func(_ context.Context, out disk.ReaderWriterAt) (verity.Tree, error) {
		_, err := io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(root, 0, tree.Size))
		return tree, err
	}
	i := install(t, s, same)
	end, _ := i.Table().Partition(layout.PartPersistent)
	for _, p := range i.Table().Partitions {
		if at := p.Offset(); p.Name != end.Name && !bytes.Equal(d.now[at:at+p.Size()], same.now[at:at+p.Size()]) {
			t.Errorf("partition %s differs", p.Name)
		}
	}
	other := tree
	other.RootHash[0] ^= 1
	s.Stream = func(context.Context, disk.ReaderWriterAt) (verity.Tree, error) { return other, nil }
	again, err := disk.NewInstallation(s, same, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); !errors.Is(err, disk.ErrRoot) || !strings.Contains(err.Error(), "partition root-a: ") {
		t.Errorf("got %v", err)
	}
	if same.now[510] == 0x55 {
		t.Error("it boots")
	}
}

// TestInstallationRefuses: nothing is written to a device that is too small. The error says
// how much is needed, and for what.
func TestInstallationRefuses(t *testing.T) {
	s := spec(t)
	size, words, err := disk.Size(s)
	if err != nil {
		t.Fatal(err)
	}
	d := used(size - 512)
	d.left = 0
	_, err = disk.NewInstallation(s, d, nil)
	if !errors.Is(err, disk.ErrTooSmall) || !strings.Contains(err.Error(), fmt.Sprintf("needs %d MiB: %s", size>>20, words)) || !strings.Contains(words, "MiB for recovery") {
		t.Errorf("got %v", err)
	}
	install(t, s, used(size))
	odd := used(size)
	odd.sector = 520
	if _, err = disk.NewInstallation(s, odd, nil); err == nil || !strings.Contains(err.Error(), "its sectors have 520 bytes: want 512 or 4096") {
		t.Errorf("got %v", err)
	}
	s.Image.Tree.RootHash[3] ^= 1
	if _, err = disk.NewInstallation(s, used(size), nil); !errors.Is(err, disk.ErrRoot) {
		t.Errorf("got %v", err)
	}
}

// TestInstallationFails: every write may fail. Then the device does not boot, unless the
// old disk is still there, and the installation can be run again.
func TestInstallationFails(t *testing.T) {
	s := spec(t)
	d := used(larger)
	for left := 0; ; left += 17 {
		d.now[510], d.now[511] = 0, 0
		d.left = left
		i, err := disk.NewInstallation(s, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Run(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, errIO) || d.now[510] == 0x55 {
			t.Fatalf("after %d writes: %v, sector 0 ends with %x", left, err, d.now[510:512])
		}
	}
	d.left = -1
	install(t, s, d)
}

// TestReadBack: a medium that keeps something else is noticed before it boots.
func TestReadBack(t *testing.T) {
	s := spec(t)
	_, made := write(t, s)
	for _, name := range []string{"root-b", "boot-recovery", "oem", "efi"} {
		p, _ := made.Table.Partition(name)
		d := used(larger)
		d.rots = p.Offset() + 1029
		i, err := disk.NewInstallation(s, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Run(t.Context()); !errors.Is(err, disk.ErrReadBack) || !strings.Contains(err.Error(), "partition "+name+": ") {
			t.Errorf("%s: got %v", name, err)
		}
		if d.now[510] == 0x55 {
			t.Errorf("%s: it boots", name)
		}
	}
}

// TestExtra: more partitions lie before persistent, which grows, and change no number.
func TestExtra(t *testing.T) {
	s := spec(t)
	s.Extra = []layout.Partition{
		{Name: "data", Type: layout.TypeLinux, FS: layout.Ext4, Label: "DATA", Size: 16 << 20},
		{Name: "swap", Type: layout.TypeLinux, FS: layout.Raw, Size: 2 << 20},
		{Name: "share", Type: layout.TypeLinux, FS: layout.FAT32, Label: "SHARE", Size: 34 << 20},
	}
	d := used(larger)
	i := install(t, s, d)
	table, err := gpt.Read(d, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	byNumber := func(a, b gpt.Partition) int { return a.Number - b.Number }
	slices.SortFunc(i.Table().Partitions, byNumber)
	if diff := cmp.Diff(i.Table(), table); diff != "" {
		t.Error(diff)
	}
	persistent, _ := table.Partition(layout.PartPersistent)
	for n, e := range s.Extra {
		p, ok := table.Partition(e.Name)
		if !ok || p.Number != 11+n || p.Size() != e.Size || p.First >= persistent.First {
			t.Errorf("%+v", p)
		}
	}
	if persistent.Number != 10 {
		t.Errorf("persistent has the number %d", persistent.Number)
	}
	data, _ := table.Partition("data")
	if m, err := ext4.Mend(io.NewSectionReader(d, data.Offset(), data.Size()), data.Size()); err != nil {
		t.Error(m, err)
	}
}
