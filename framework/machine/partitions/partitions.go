// SPDX-License-Identifier: Apache-2.0

// Package partitions adds partitions with file systems to a disk, and expands its
// last partition. It never removes, moves or shrinks a partition, and makes a table
// on an empty disk only. It leaves the boot disk alone: there, /init gives the last
// partition all the space at every boot.
//
// # The order
//
//	find     the disk, its table, the missing partitions, the programs that are
//	         needed; add up all sizes
//	         ---- up to here, nothing was written ----
//	clear    the first and the last MiB of each new partition, so that old data is
//	         not taken for a file system
//	table    backup, flush, primary, flush
//	kernel   tell it about each partition
//	file system  make one in each empty partition of the config; so the next run
//	         completes an interrupted run
package partitions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// Disks are the disks that a config may change.
type Disks interface {
	// Disk is the device of the disk that the config names.
	Disk(ctx context.Context, l config.DiskLayout) (string, error)
	// BootDisk is the device of the boot disk, or empty.
	BootDisk() string
	// Device is the device of a partition of a disk.
	Device(disk string, number int) string
	// Label returns label and type of the file system on a device; empty if
	// there is none.
	Label(ctx context.Context, device string) (label, fs string, err error)
	// Has tells whether a program is installed.
	Has(program string) bool
	Run(ctx context.Context, words ...string) error
	// Added and Resized tell the kernel about a partition.
	Added(disk *os.File, p blockdev.Partition) error
	Resized(disk *os.File, p blockdev.Partition) error
	// Grow makes the file system on a device as large as the device, size
	// bytes. It returns whether the file system was smaller.
	Grow(ctx context.Context, device string, size int64) (changed bool, err error)
}

// Apply brings a disk to the layout l. It returns a phrase for each change; none if
// the disk has the layout already.
func Apply(ctx context.Context, n Disks, l config.DiskLayout) (done []string, err error) {
	path, err := n.Disk(ctx, l)
	if err != nil {
		return nil, err
	}
	w := &work{node: n, layout: l, path: path}
	if path == n.BootDisk() {
		return nil, w.bootDisk()
	}
	if w.disk, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("opening the disk: %w", err)
	}
	defer func() { err = errors.Join(err, w.disk.Close()) }()
	unlock, err := blockdev.Lock(w.disk)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	err = w.run(ctx)
	return w.done, err
}

type work struct {
	node   Disks
	layout config.DiskLayout
	path   string
	disk   *os.File
	size   int64 // bytes
	fresh  bool  // the table is new
	table  *gpt.Table
	done   []string
}

func (w *work) run(ctx context.Context) error {
	if err := w.read(); err != nil {
		return fmt.Errorf("disk %s: %w; nothing was written", w.path, err)
	}
	missing, err := w.missing(ctx)
	if err == nil {
		err = w.programs(ctx, missing)
	}
	if err != nil {
		return fmt.Errorf("disk %s: %w; nothing was written", w.path, err)
	}
	p, err := newPlan(w.table, w.size/gpt.SectorSize, w.layout, missing)
	if err != nil {
		return fmt.Errorf("disk %s: %w; nothing was written", w.path, err)
	}
	if p.changes() || w.fresh {
		if err := w.write(p); err != nil {
			return fmt.Errorf("disk %s: %w", w.path, err)
		}
	}
	w.table = p.table
	return errors.Join(w.fileSystems(ctx), w.grow(ctx))
}

// bootDisk refuses partitions that would change the table of the boot disk.
func (w *work) bootDisk() error {
	if len(w.layout.Add) == 0 {
		return nil // /init has expanded it
	}
	for _, a := range w.layout.Add {
		if a.Name != layout.PartOEM && a.Name != layout.PartPersistent && a.Label != layout.LabelOEM && a.Label != layout.LabelPersistent {
			return fmt.Errorf("partition %q cannot be added to %s: the node was booted from it, and its last partition has all the room; add a disk", a.Name, w.path)
		}
	}
	return nil
}

// read reads the table, or makes one in memory for an empty disk.
func (w *work) read() (err error) {
	if w.size, err = w.disk.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	w.table, err = gpt.Read(w.disk, w.size)
	if !errors.Is(err, gpt.ErrNoTable) {
		return err
	}
	empty, readErr := blank(w.disk, w.size)
	switch {
	case readErr != nil:
		return readErr
	case !empty:
		return fmt.Errorf("%w, and it is not empty: clear it by hand (wipefs --all) if nothing on it is needed", err)
	case !w.layout.Init:
		return fmt.Errorf("%w: set device.init_disk to make one", err)
	}
	id := gpt.DeriveGUID(sha256.Sum256([]byte(w.path + "/" + w.layout.DiskName)))
	sector, err := blockdev.Sector(w.disk)
	w.table, w.fresh = &gpt.Table{DiskGUID: id, Sectors: w.size / gpt.SectorSize, Large: sector == gpt.LargeSector}, true
	return err
}

// blank tells whether the first and the last MiB are zeros. Tables, superblocks and
// boot sectors would be there.
func blank(r io.ReaderAt, size int64) (bool, error) {
	for _, at := range []int64{0, max(0, size-layout.MiB)} {
		b := make([]byte, min(layout.MiB, size))
		if _, err := r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if len(bytes.Trim(b, "\x00")) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// missing returns the partitions that the disk lacks, by name and by label.
func (w *work) missing(ctx context.Context) ([]config.NewPartition, error) {
	labels := map[string]bool{}
	for _, p := range w.table.Partitions {
		label, _, err := w.node.Label(ctx, w.node.Device(w.path, p.Number))
		if err != nil {
			return nil, err
		}
		labels[label] = true
	}
	var out []config.NewPartition
	for _, a := range w.layout.Add {
		if _, ok := w.table.Partition(a.Name); !ok && (a.Label == "" || !labels[a.Label]) {
			out = append(out, a)
		}
	}
	return out, nil
}

// programs checks that the programs exist, before anything is written.
func (w *work) programs(ctx context.Context, missing []config.NewPartition) error {
	if err := checkMakers(missing, w.node.Has); err != nil {
		return err
	}
	last, ok := w.expandable()
	if !ok {
		return nil
	}
	_, fs, err := w.node.Label(ctx, w.node.Device(w.path, last.Number))
	if err == nil && fs != "" && !strings.HasPrefix(fs, "ext") {
		err = fmt.Errorf("partition %d (%q) has %s, which grows while it is mounted only: grow both in commands", last.Number, last.Name, fs)
	}
	if err == nil && fs != "" && !w.node.Has("resize2fs") {
		err = errors.New("growing needs the program resize2fs, which this image does not have: add e2fsprogs to the flavor")
	}
	return err
}

// Check returns an error if an image lacks a program for a layout: the one that
// names the disk, or one that makes a file system. It reads no disk.
func Check(l config.DiskLayout, has func(program string) bool) error {
	if words, ok := Script(l); ok && !has(words[0]) {
		return fmt.Errorf("there is no program %s, which names the disk", words[0])
	}
	return checkMakers(l.Add, has)
}

func checkMakers(partitions []config.NewPartition, has func(program string) bool) error {
	for _, p := range partitions {
		if program := mkfs(p, "")[0]; !has(program) {
			return fmt.Errorf("partition %q needs the program %s, which this image does not have: add it to the flavor", p.Name, program)
		}
	}
	return nil
}

// expandable returns the partition to expand, if any.
func (w *work) expandable() (gpt.Partition, bool) {
	i := expandable(w.table, w.layout.Add)
	if w.layout.Expand == nil || i < 0 {
		return gpt.Partition{}, false
	}
	return w.table.Partitions[i], true
}

// mkfs returns the command that makes the file system of p.
func mkfs(p config.NewPartition, device string) []string {
	words := map[string][]string{
		"vfat": {"mkfs.vfat"}, "swap": {"mkswap"}, "xfs": {"mkfs.xfs", "-q"}, "btrfs": {"mkfs.btrfs", "-q"},
	}[p.FileSystem]
	if words == nil {
		words = []string{"mkfs." + p.FileSystem, "-q"}
	}
	if p.Label != "" {
		flag := "-L"
		if p.FileSystem == "vfat" {
			flag = "-n"
		}
		words = append(words, flag, p.Label)
	}
	return append(words, device)
}

func (w *work) write(p plan) error {
	for _, x := range p.added {
		for _, at := range []int64{x.Offset(), x.Offset() + x.Size() - layout.MiB} {
			if _, err := w.disk.WriteAt(make([]byte, layout.MiB), at); err != nil {
				return fmt.Errorf("clearing the room of partition %q: %w", x.Name, err)
			}
		}
	}
	if err := w.disk.Sync(); err != nil {
		return err
	}
	if err := gpt.Rewrite(w.disk, p.table); err != nil {
		return err
	}
	if w.fresh {
		w.done = append(w.done, "made a partition table")
	}
	if p.grown != nil {
		if err := w.node.Resized(w.disk, kernels(*p.grown)); err != nil {
			return err
		}
		w.done = append(w.done, fmt.Sprintf("partition %d (%q) has %d MiB", p.grown.Number, p.grown.Name, p.grown.Size()/layout.MiB))
	}
	for _, x := range p.added {
		if err := w.node.Added(w.disk, kernels(x)); err != nil {
			return err
		}
		w.done = append(w.done, fmt.Sprintf("added partition %d (%q) of %d MiB", x.Number, x.Name, x.Size()/layout.MiB))
	}
	return nil
}

func kernels(p gpt.Partition) blockdev.Partition {
	return blockdev.Partition{Number: p.Number, Start: p.Offset(), Size: p.Size()}
}

// fileSystems makes the missing file systems. It leaves a partition that is not
// empty alone.
func (w *work) fileSystems(ctx context.Context) error {
	for _, a := range w.layout.Add {
		p, ok := w.table.Partition(a.Name)
		if !ok {
			continue // a partition has its label
		}
		empty, err := blank(io.NewSectionReader(w.disk, p.Offset(), p.Size()), p.Size())
		if err != nil {
			return fmt.Errorf("looking into partition %q: %w", a.Name, err)
		}
		if !empty {
			continue
		}
		if err := w.node.Run(ctx, mkfs(a, w.node.Device(w.path, p.Number))...); err != nil {
			return fmt.Errorf("making the file system of partition %q: %w", a.Name, err)
		}
		w.done = append(w.done, fmt.Sprintf("made the file system (%s) of partition %q", a.FileSystem, a.Name))
	}
	return nil
}

// grow makes the ext file system of the expandable partition fill it.
func (w *work) grow(ctx context.Context) error {
	last, ok := w.expandable()
	if !ok {
		return nil
	}
	device := w.node.Device(w.path, last.Number)
	_, fs, err := w.node.Label(ctx, device)
	if err != nil || !strings.HasPrefix(fs, "ext") {
		return err
	}
	changed, err := w.node.Grow(ctx, device, last.Size())
	if err != nil {
		return fmt.Errorf("growing the file system of partition %d (%q): %w", last.Number, last.Name, err)
	}
	if changed {
		w.done = append(w.done, fmt.Sprintf("grew the file system of partition %d (%q)", last.Number, last.Name))
	}
	return nil
}
