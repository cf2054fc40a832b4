// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const (
	testRoot = 512 << 10 // bytes of data of a root image
	testGrow = 8 << 20   // how much larger the disk is than its table
)

// An image holds the contents that the tests put into a slot.
type image struct {
	root []byte // with its tree
	boot []fat32.File
}

// newImage makes an image; images with other names have other blocks.
func newImage(t *testing.T, name string) image {
	t.Helper()
	m := &memory{}
	for i := 0; i < testRoot; i += 64 {
		fmt.Fprintf(m, "%-63s\n", fmt.Sprintf("%s, line %d", name, i/64))
	}
	tree, err := verity.Write(t.Context(), m, testRoot, verity.Params{Salt: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf("%s=%x %s=%d quiet", layout.ArgRootHash, tree.RootHash, layout.ArgHashOffset, tree.HashOffset)
	kernel, initrd := bytes.Repeat([]byte(name+" kernel\n"), 5000), bytes.Repeat([]byte(name+" initrd\n"), 5000)
	return image{m.Bytes(), bootconf.Loader{}.Files(kernel, initrd, args)}
}

// A memory is a file.
type memory struct{ bytes.Buffer }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.Bytes()).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if grow := int(off) + len(p) - m.Len(); grow > 0 {
		m.Write(make([]byte, grow))
	}
	return copy(m.Bytes()[off:], p), nil
}

// newTable is the table of a disk with the usual partitions, as small as possible.
func newTable() *gpt.Table {
	rows := layout.Table(layout.Sizes{ImageSize: layout.MiB, EFI: 34 * layout.MiB, Boot: 34 * layout.MiB, Root: layout.MiB, OEM: 16 * layout.MiB, Persistent: 16 * layout.MiB})
	table := &gpt.Table{DiskGUID: gpt.GUID{1}}
	at := int64(layout.Alignment / gpt.SectorSize)
	for _, row := range rows {
		n := row.Size / gpt.SectorSize
		table.Partitions = append(table.Partitions, gpt.Partition{Number: row.Number, Type: gpt.GUID{2}, ID: gpt.GUID{3, byte(row.Number)}, First: at, Last: at + n - 1, Name: row.Name})
		at += n
	}
	table.Sectors = at + layout.Alignment/gpt.SectorSize
	return table
}

// A testDisk is a disk file with its partition table.
type testDisk struct {
	*os.File
	table *gpt.Table
}

func (d testDisk) part(name string) gpt.Partition {
	p, ok := d.table.Partition(name)
	if !ok {
		panic("BUG: no partition " + name)
	}
	return p
}

// newDisk writes a disk with the image in all slots.
func newDisk(t *testing.T, path string, m image, env []byte) testDisk {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	d := testDisk{f, newTable()}
	esp := []fat32.File{
		{Path: "EFI/BOOT/BOOTX64.EFI", Data: bytes.Repeat([]byte("shim"), 1000)},
		{Path: "EFI/debian/grub.cfg", Data: bootconf.GRUB()},
		{Path: "EFI/debian/grubenv", Data: env},
	}
	must(t, f.Truncate(d.table.Sectors*gpt.SectorSize))
	must(t, d.table.Write(f))
	must(t, fat32.Write(d.at(layout.PartEFI), d.part(layout.PartEFI).Size(), esp, fat32.Options{}))
	for _, s := range layout.Slots() {
		must(t, d.put(f, s, m))
	}
	for _, name := range []string{layout.PartOEM, layout.PartPersistent} {
		must(t, ext4.Write(d.at(name), d.part(name).Size(), []ext4.Entry{{Path: "a/file", Mode: 0o644, Data: []byte(name)}}, ext4.Options{}))
	}
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d testDisk) at(name string) io.WriterAt {
	return io.NewOffsetWriter(d.File, d.part(name).Offset())
}

// put writes an image to a slot, through w.
func (d testDisk) put(w io.WriterAt, s layout.Slot, m image) error {
	root := io.NewOffsetWriter(w, d.part(s.Root()).Offset())
	if _, err := io.Copy(root, bytes.NewReader(m.root)); err != nil {
		return err
	}
	boot := d.part(s.Boot())
	return fat32.Write(io.NewOffsetWriter(w, boot.Offset()), boot.Size(), m.boot, fat32.Options{})
}

// A recorder is a disk that logs its writes, in pieces as a kernel makes them.
type recorder struct {
	testDisk
	log  *writelog.Writer
	lost func(off int64) bool // the medium loses these writes silently
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	const piece = 64 << 10
	first, end := off/SectorSize*SectorSize, (off+int64(len(p))+SectorSize-1)/SectorSize*SectorSize
	whole := make([]byte, end-first)
	if _, err := r.ReadAt(whole, first); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	copy(whole[off-first:], p)
	for at := int64(0); at < int64(len(whole)); at += piece {
		b := whole[at:min(at+piece, int64(len(whole)))]
		if r.lost != nil && r.lost(first+at) {
			continue
		}
		if _, err := r.File.WriteAt(b, first+at); err != nil {
			return 0, err
		}
		if err := r.log.Write(first+at, b, 0); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (r *recorder) Sync() error { return r.log.Flush() }

// An upgrade is the upgrade of a node, with the node's mistakes.
type upgrade struct {
	name      string
	padding   int                                   // bytes of another variable in the environment block
	armEarly  bool                                  // without a flush after the slot's data
	noReading bool                                  // does not read back what it wrote
	careless  bool                                  // writes both copies of the partition table at once
	lost      func(d testDisk) func(off int64) bool // returns which writes the medium loses
}

func (u upgrade) block(s slot.State) []byte {
	if u.padding == 0 {
		b, err := grubenv.Encode(s.Vars())
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return b
	}
	empty := append([]byte("# GRUB Environment Block\na_pad="), bytes.Repeat([]byte{'x'}, u.padding)...)
	empty = append(append(empty, '\n'), bytes.Repeat([]byte{'#'}, grubenv.Size)...)
	return edit(empty[:grubenv.Size], s)
}

// A recording is a timeline with the disks that belong to it.
type recording struct {
	*Timeline
	disk  testDisk // after
	fresh Disk     // a disk with the new image in all slots
}

// record makes a disk and lets a node upgrade, boot the new slot, mark it good, grow
// the last partition and roll back.
func (u upgrade) record(t *testing.T) recording {
	t.Helper()
	dir := t.TempDir()
	before, after := newImage(t, "old"), newImage(t, "new")
	env := u.block(slot.Initial())
	base := newDisk(t, filepath.Join(dir, "base"), before, env)
	d := newDisk(t, filepath.Join(dir, "now"), before, env)
	fresh := newDisk(t, filepath.Join(dir, "fresh"), after, env)
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	t.Cleanup(func() { must(t, log.Close()) })
	r := &recorder{testDisk: d, log: writelog.NewWriter(log)}
	if u.lost != nil {
		r.lost = u.lost(d)
	}
	must(t, u.run(t.Context(), r, after))
	info, err := log.Stat()
	must(t, err)
	size := base.table.Sectors*gpt.SectorSize + testGrow
	timeline, err := NewTimeline(base, size, log, info.Size())
	must(t, err)
	return recording{timeline, d, Disk{fresh, base.table.Sectors * gpt.SectorSize}}
}

func (u upgrade) run(ctx context.Context, r *recorder, m image) error {
	n := &node{upgrade: u, recorder: r, state: slot.Initial()}
	if err := n.findEnvironment(); err != nil {
		return err
	}
	armed, err := n.install(ctx, m)
	if err != nil || !armed {
		return err
	}
	_, booted := n.state.Boot()
	grown, err := r.table.Grown(layout.PartPersistent, r.table.Sectors+testGrow/gpt.SectorSize)
	if err != nil {
		return err
	}
	back, err := booted.MarkGood(layout.SlotB).Rollback(2)
	return errors.Join(err, n.save(booted), u.grow(r, grown), n.save(booted.MarkGood(layout.SlotB)), n.save(back))
}

func (u upgrade) grow(r *recorder, table *gpt.Table) error {
	if u.careless {
		return errors.Join(table.Write(r), r.Sync())
	}
	return gpt.Rewrite(r, table)
}

// A node follows the protocol of an upgrade.
type node struct {
	upgrade
	*recorder
	state slot.State
	env   int64 // offset of the environment block
}

func (n *node) findEnvironment() error {
	p := n.part(layout.PartEFI)
	b := make([]byte, p.Size())
	if _, err := n.ReadAt(b, p.Offset()); err != nil {
		return err
	}
	i := bytes.Index(b, []byte("# GRUB Environment Block\n"))
	if i < 0 {
		return errors.New("no environment block")
	}
	n.env = p.Offset() + int64(i)
	return nil
}

// save writes the state: only one sector if that is enough.
func (n *node) save(s slot.State) error {
	b := n.block(s)
	if n.padding == 0 {
		b = b[:SectorSize]
	}
	n.state = s
	if _, err := n.WriteAt(b, n.env); err != nil {
		return err
	}
	return n.Sync()
}

func (n *node) install(ctx context.Context, m image) (armed bool, err error) {
	s, err := n.state.Write(layout.SlotA, layout.SlotB)
	if err != nil {
		return false, err
	}
	if err := errors.Join(n.save(s), n.put(n, layout.SlotB, m)); err != nil {
		return false, err
	}
	if !n.armEarly {
		if err := n.Sync(); err != nil {
			return false, err
		}
	}
	if !n.noReading && n.readBack(ctx, m) != nil {
		return false, nil
	}
	if s, err = s.Arm(layout.SlotB, slot.MaxTries); err != nil {
		return false, err
	}
	return true, n.save(s)
}

func (n *node) readBack(ctx context.Context, m image) error {
	got := make([]byte, len(m.root))
	if _, err := n.ReadAt(got, n.part(layout.SlotB.Root()).Offset()); err != nil {
		return err
	}
	if !bytes.Equal(got, m.root) {
		return errors.New("the root image is not what was written")
	}
	p := n.part(layout.SlotB.Boot())
	sec := section{SectionReader: io.NewSectionReader(n.File, p.Offset(), p.Size())}
	f, err := openFAT(sec, sec.Size())
	if err != nil {
		return err
	}
	files, err := f.files()
	if err != nil {
		return err
	}
	for _, want := range m.boot {
		var b bytes.Buffer
		if err := f.copy(&b, files[want.Path]); err != nil || !bytes.Equal(b.Bytes(), want.Data) {
			return fmt.Errorf("%s is not what was written (%w)", want.Path, err)
		}
	}
	return ctx.Err()
}
