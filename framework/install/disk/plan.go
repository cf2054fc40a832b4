// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// edge is the size in bytes of the head and of the tail of the disk. It has room for
// a partition table, and aligns the partitions between them.
const edge = layout.Alignment

// A plan is a checked Spec: what goes where.
type plan struct {
	Spec
	size    int64
	parts   []layout.Partition // in the order of the disk
	table   *gpt.Table
	loader  BootLoader
	regions []*region // they tile the disk
}

// A region is a piece of the disk that is written by one function.
type region struct {
	name  string
	start int64 // bytes
	end   int64
	// write fills the region, with offsets on the disk. It is nil for a root
	// image: those are large, and their hash is known.
	write func(io.WriterAt) error
	// plain is write without the encryption, which takes time and never fails; nil: write.
	plain func(io.WriterAt) error
	// sparse says that write leaves out zeros.
	sparse  bool
	extents extents       // what is data; complete when done is closed
	done    chan struct{} // closed when the region is written
}

func (r *region) isRoot() bool { return r.write == nil }

// rehearsal writes what the region holds, or as much of it as can fail.
func (r *region) rehearsal() func(io.WriterAt) error {
	if r.plain != nil {
		return r.plain
	}
	return r.write
}

func newPlan(s Spec) (*plan, error) {
	if s.Sizes.ImageSize == 0 {
		s.Sizes.ImageSize = s.Image.Tree.Size
	}
	parts := withHeaders(withExtra(layout.Table(s.Sizes), s.Extra), s.Encrypted)
	loader, err := s.BootLoader(s.Image.Bootloader)
	if err == nil {
		err = errors.Join(slotimage.CheckCmdline(s.Image.Cmdline, loader), checkRoom(loader, parts))
	}
	if err := errors.Join(err, checkStream(s), checkSizes(s, parts)); err != nil {
		return nil, err
	}
	p := &plan{Spec: s, parts: parts, loader: loader, table: newTable(s.ID, parts)}
	p.size = p.table.Sectors * gpt.SectorSize
	if err := p.lay(parts); err != nil {
		return nil, err
	}
	return p, p.rehearse()
}

// rehearse writes all small regions to nowhere, so that errors in their contents
// are known before a file is touched.
func (p *plan) rehearse() error {
	var errs []error
	for _, r := range p.regions {
		if r.isRoot() {
			continue
		}
		if err := r.rehearsal()(nowhere{}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	return errors.Join(errs...)
}

type nowhere struct{}

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// lay makes the regions.
func (p *plan) lay(parts []layout.Partition) error {
	p.add("partition table", edge, p.writeHead)
	for i, part := range parts {
		write, err := p.writer(part, p.table.Partitions[i])
		if err != nil {
			return err
		}
		p.add(part.Name, part.Size, write)
		r := p.regions[len(p.regions)-1]
		r.sparse = part.FS == layout.Ext4 || part.FS == layout.Raw
		if volume := p.Encrypted[part.Name]; volume != nil {
			r.encrypt(volume)
		}
	}
	p.add("backup partition table", edge, p.table.WriteBackup)
	if last := p.regions[len(p.regions)-1]; last.end != p.size {
		return fmt.Errorf("BUG: the regions end at %d, the disk at %d", last.end, p.size)
	}
	return nil
}

func (p *plan) add(name string, size int64, write func(io.WriterAt) error) {
	start := int64(0)
	if n := len(p.regions); n > 0 {
		start = p.regions[n-1].end
	}
	p.regions = append(p.regions, &region{name: name, start: start, end: start + size, write: write, done: make(chan struct{})})
}

// withExtra puts partitions before the last one, which grows. Numbers need not follow the
// order on the disk: the standard partitions keep theirs.
func withExtra(table, extra []layout.Partition) []layout.Partition {
	last := len(table) - 1
	out := slices.Clone(table[:last])
	for i, part := range extra {
		part.Number = len(table) + 1 + i
		out = append(out, part)
	}
	return append(out, table[last])
}

// newTable places the partitions one after the other.
func newTable(id [32]byte, parts []layout.Partition) *gpt.Table {
	t := &gpt.Table{DiskGUID: gpt.DeriveGUID(derive(id, "disk"))}
	at := int64(edge)
	for _, part := range parts {
		kind, err := gpt.ParseGUID(part.Type)
		if err != nil {
			panic("BUG: layout: " + err.Error())
		}
		t.Partitions = append(t.Partitions, gpt.Partition{
			Number: part.Number, Type: kind, ID: PartitionID(id, part.Name), Name: part.Name,
			First: at / gpt.SectorSize, Last: (at+part.Size)/gpt.SectorSize - 1,
		})
		at += part.Size
	}
	t.Sectors = (at + edge) / gpt.SectorSize
	return t
}

// writer returns the function that fills a partition; nil for a root image.
func (p *plan) writer(part layout.Partition, entry gpt.Partition) (func(io.WriterAt) error, error) {
	switch {
	case part.Name == layout.PartBIOS:
		return func(w io.WriterAt) error { return writeSome(w, p.loader.Core(entry.First), entry.Offset()) }, nil
	case part.Name == layout.PartEFI:
		files, err := p.loader.EFI()
		return p.fat(part, entry, files), err
	case part.FS == layout.FAT32 && part.Slot != "":
		return p.fat(part, entry, p.Image.BootFiles(p.loader)), nil
	case part.FS == layout.FAT32:
		return p.fat(part, entry, nil), nil
	case part.FS == layout.Raw:
		return func(io.WriterAt) error { return nil }, nil
	case part.FS == layout.EROFS:
		return nil, nil
	case part.Name == layout.PartOEM:
		return p.ext4(part, entry, p.OEM), nil
	case part.FS == layout.Ext4:
		return p.ext4(part, entry, nil), nil
	}
	return nil, fmt.Errorf("BUG: nothing fills partition %q", part.Name)
}

func (p *plan) fat(part layout.Partition, entry gpt.Partition, files []fat32.File) func(io.WriterAt) error {
	options := fat32.Options{Label: part.Label, VolumeID: volumeID(p.ID, part.Name), Time: p.Time}
	size := p.inside(part)
	return func(w io.WriterAt) error {
		err := fat32.Write(io.NewOffsetWriter(w, entry.Offset()), size, files, options)
		if errors.Is(err, fat32.ErrNoSpace) {
			return fmt.Errorf("%w: %w: make the files smaller, or the partition larger", ErrTooLarge, err)
		}
		return err
	}
}

func (p *plan) ext4(part layout.Partition, entry gpt.Partition, files []ext4.Entry) func(io.WriterAt) error {
	options := ext4.Options{Label: part.Label, UUID: gpt.DeriveGUID(derive(p.ID, "file system "+part.Name)), Time: p.Time}
	size := p.inside(part)
	return func(w io.WriterAt) error {
		err := ext4.Write(io.NewOffsetWriter(w, entry.Offset()), size, files, options)
		if errors.Is(err, ext4.ErrFull) {
			return fmt.Errorf("%w: %w: make the files smaller, or the partition larger", ErrTooLarge, err)
		}
		return err
	}
}

// inside is the size of the file system in a partition, in bytes.
func (p *plan) inside(part layout.Partition) int64 {
	if p.Encrypted[part.Name] != nil {
		return part.Size - luks2.DataOffset
	}
	return part.Size
}

func (p *plan) writeHead(w io.WriterAt) error {
	core, _ := p.table.Partition(layout.PartBIOS)
	return errors.Join(writeSome(w, p.loader.BootCode(core.First), 0), p.table.WriteProtectiveMBR(w), p.table.WritePrimary(w))
}

// estimate is the approximate number of bytes of data, for messages.
func (p *plan) estimate() int64 {
	slot := p.Image.Tree.Size + int64(len(p.Image.Kernel)+len(p.Image.Initrd))
	return slot*int64(len(layout.Slots())) + 32*layout.MiB
}

// data is the number of bytes that were written.
func (p *plan) data() int64 {
	var n int64
	for _, r := range p.regions {
		n += r.extents.bytes()
	}
	return n
}
