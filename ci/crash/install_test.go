// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// installStates is how many states of an installation are checked, and those of a short
// test.
const (
	installStates      = 4_000
	installStatesShort = 1_000
)

// TestInstall: whenever the power is cut during an installation, the disk is either the old
// one, or one that no firmware boots, or the new one, whole. The disk had the image of
// another version, whose partitions lie elsewhere, and the same partitions as the new one.
func TestInstall(t *testing.T) {
	n := installStates
	if testing.Short() {
		n = installStatesShort
	}
	for _, old := range []struct {
		name string
		make func(t *testing.T) []byte
	}{
		{"an installed disk of the same layout", func(t *testing.T) []byte { return installed(t, installSpec(t, 3)) }},
		{"an installed disk of another layout", func(t *testing.T) []byte {
			s := installSpec(t, 5)
			s.Sizes.EFI, s.Sizes.Root = 36*layout.MiB, 3*layout.MiB
			return installed(t, s)
		}},
		{"other data", func(*testing.T) []byte { return bytes.Repeat(noise(1<<20, 9), installSize>>20) }},
	} {
		t.Run(old.name, func(t *testing.T) { exploreInstall(t, old.make(t), n) })
	}
}

func exploreInstall(t *testing.T, before []byte, states int) {
	r := newBlank(t, before)
	i, err := disk.NewInstallation(installSpec(t, 7), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tl := r.timeline(t, before)
	seen := installChecker{old: before, end: tl.End(), table: i.Table()}
	var g errgroup.Group
	counts := make([]outcome, states)
	g.SetLimit(2)
	for n := range states {
		g.Go(func() (err error) {
			s := tl.State(11, n)
			if counts[n], err = seen.check(tl.View(s)); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	var sum [3]int
	for _, c := range counts {
		sum[c]++
	}
	t.Logf("%d writes, %d flushes, %d states: %d the old disk, %d nothing that boots, %d the new disk", len(tl.Writes), tl.EpochCount(), states, sum[theOld], sum[nothing], sum[theNew])
	if sum[nothing] == 0 || sum[theNew] == 0 {
		t.Error("the states are not those of an installation")
	}
}

// outcome is what firmware finds after a power cut.
type outcome int

const (
	nothing outcome = iota
	theOld
	theNew
)

// An installChecker checks the disks that a power cut during an installation leaves.
type installChecker struct {
	old   []byte
	end   *View
	table *gpt.Table
}

// check fails if firmware would start a disk that is not whole. Without a valid sector 0
// no firmware starts the disk: BIOS wants its signature, UEFI its protective record.
func (c installChecker) check(v *View) (outcome, error) {
	mbr := make([]byte, SectorSize)
	if _, err := v.ReadAt(mbr, 0); err != nil {
		return nothing, err
	}
	table, err := gpt.Read(v, v.Size())
	if err == nil && table.DiskGUID == c.table.DiskGUID {
		return theNew, c.isNew(v, table, mbr)
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nothing, nil
	}
	return theOld, c.isOld(v)
}

// isNew: as soon as one copy of the new table is there, all partitions are. With sector 0,
// the first copy is whole, which GRUB needs.
func (c installChecker) isNew(v *View, table *gpt.Table, mbr []byte) error {
	if mbr[510] == 0x55 && table.PrimaryFault != nil {
		return fmt.Errorf("sector 0 is there, and the first table is not: %w", table.PrimaryFault)
	}
	first, last := table.Partitions[0], table.Partitions[len(table.Partitions)-1]
	return c.same(v, c.end, first.Offset(), last.Offset()+16*layout.MiB)
}

// isOld: nothing between the first and the last MiB has changed.
func (c installChecker) isOld(v *View) error {
	return c.same(v, bytes.NewReader(c.old), layout.MiB, v.Size()-layout.MiB)
}

func (c installChecker) same(a *View, b io.ReaderAt, from, to int64) error {
	if end, ok := b.(*View); ok && a.Identity(from, to-from) == end.Identity(from, to-from) {
		return nil
	}
	const step = 4 << 20
	x, y := make([]byte, step), make([]byte, step)
	for at := from; at < to; at += step {
		n := min(step, to-at)
		if _, err := a.ReadAt(x[:n], at); err != nil {
			return err
		}
		if _, err := b.ReadAt(y[:n], at); err != nil {
			return err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return fmt.Errorf("the bytes from %d to %d are not what they must be", at, at+n)
		}
	}
	return nil
}

// installSize is the size of the device in bytes.
const installSize = 224 << 20

// A blank is a disk in memory that logs its writes and flushes.
type blank struct {
	now []byte
	log *os.File
	w   *writelog.Writer
}

func newBlank(t *testing.T, before []byte) *blank {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &blank{bytes.Clone(before), f, writelog.NewWriter(f)}
}

func (r *blank) Size() int64   { return int64(len(r.now)) }
func (*blank) Sector() int64   { return layout.SectorSize }
func (r *blank) Sync() error   { return r.w.Flush() }
func (r *blank) Forget() error { return nil }
func (r *blank) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r.now).ReadAt(p, off)
}

func (r *blank) WriteAt(p []byte, off int64) (int, error) {
	copy(r.now[off:], p)
	return len(p), r.w.Write(off, p, 0)
}

func (r *blank) timeline(t *testing.T, before []byte) *Timeline {
	t.Helper()
	info, err := r.log.Stat()
	if err != nil {
		t.Fatal(err)
	}
	tl, err := NewTimeline(bytes.NewReader(before), int64(len(before)), r.log, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// installed is a device with an installation of s.
func installed(t *testing.T, s disk.Spec) []byte {
	t.Helper()
	r := newBlank(t, make([]byte, installSize))
	i, err := disk.NewInstallation(s, r, nil)
	if err == nil {
		err = i.Run(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.now
}

// installSpec is a small image; its contents depend on the seed.
func installSpec(t *testing.T, seed byte) disk.Spec {
	t.Helper()
	root := make(growing, 2<<20)
	copy(root, noise(len(root), seed))
	tree, err := verity.Write(t.Context(), &root, int64(len(root)), verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	boot, core := noise(512, seed), noise(60_000, seed)
	copy(boot[510:], "\x55\xaa")
	binary.LittleEndian.PutUint16(core[508:], uint16((len(core)+511)/512-1))
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	return disk.Spec{
		Image: &slotimage.Image{Tree: tree, Kernel: noise(300_001, seed), Initrd: noise(700_001, seed), Bootloader: map[string][]byte{
			"bios/boot.img": boot, "bios/core.img": core, "grub-dir": []byte("debian\n"), "grub.cfg": bootconf.GRUB(),
			"efi/shimx64.efi": []byte("shim"), "efi/grubx64.efi": []byte("grub"),
		}},
		BootLoader: func(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) },
		Root:       &root, OEM: []ext4.Entry{{Path: "90_custom.yaml", Mode: 0o600, Data: []byte("hostname: x\n")}},
		Sizes: layout.Sizes{EFI: 34 * layout.MiB, Boot: 34 * layout.MiB, Root: 4 * layout.MiB, OEM: 16 * layout.MiB, Persistent: 16 * layout.MiB},
		ID:    sha256.Sum256([]byte{seed}), Time: time.Unix(1<<30, 0),
	}
}

// noise is n bytes that look random.
func noise(n int, seed byte) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256([]byte{seed}); len(out) < n; sum = sha256.Sum256(sum[:]) {
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// growing is a file in memory.
type growing []byte

func (f *growing) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(*f).ReadAt(p, off) }
func (f *growing) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(*f) {
		*f = append(*f, make([]byte, need-len(*f))...)
	}
	return copy((*f)[off:], p), nil
}

// TestInstallAgain: after a power cut at any flush, and at some other moments, the
// installation is run again, and the disk is whole.
func TestInstallAgain(t *testing.T) {
	before := installed(t, installSpec(t, 3))
	r := newBlank(t, before)
	i, err := disk.NewInstallation(installSpec(t, 7), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tl := r.timeline(t, before)
	for n := range tl.Boundaries() + 6 {
		s := tl.State(13, n)
		left := make([]byte, tl.Size)
		if _, err := tl.View(s).ReadAt(left, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := again(t.Context(), newBlank(t, left), installSpec(t, 7), r.now); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// again installs, and compares the partitions with those of the disk that was not
// interrupted.
func again(ctx context.Context, r *blank, s disk.Spec, want []byte) error {
	i, err := disk.NewInstallation(s, r, nil)
	if err == nil {
		err = i.Run(ctx)
	}
	if err != nil {
		return err
	}
	for _, p := range i.Table().Partitions {
		end := p.Offset() + p.Size()
		if p.Name == layout.PartPersistent {
			end = p.Offset() + 16*layout.MiB
		}
		if !bytes.Equal(r.now[p.Offset():end], want[p.Offset():end]) {
			return fmt.Errorf("partition %s differs", p.Name)
		}
	}
	return nil
}
