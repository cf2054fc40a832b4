// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

const (
	firstDescriptor  = 16
	partDescriptor   = 32
	bootRecordSector = 17
	catalogSector    = 35
	firstFree        = 36
)

// A tree is one way to find the files: a volume descriptor, path tables and directories.
type tree struct {
	joliet     bool
	base       uint32 // first sector of the device that the numbers are for
	descriptor uint32 // its sector
	name       func(*node) []byte
	dirs       []*node // in path table order
	tableSize  uint32  // bytes
	tables     [2]uint32
}

// A plan is a checked image: what goes where. Sectors are those of the whole device.
type plan struct {
	Options
	root    *node
	files   []*node // with contents of their own, in order
	trees   []*tree
	boot    *node // Options.BIOS.Path; nil without BIOS
	sectors uint32
	efi     int64 // offset in bytes; 0 without EFI
	size    int64 // bytes
	table   *gpt.Table
}

var labelText = regexp.MustCompile(`^[A-Z0-9_]{1,16}$`)

func newPlan(files []File, o Options) (*plan, error) {
	if !labelText.MatchString(o.Label) {
		return nil, fmt.Errorf("label %q: %w: want 1 to 16 characters of A-Z, 0-9 and _", o.Label, ErrName)
	}
	root, byPath, err := newRoot(files)
	if err != nil {
		return nil, err
	}
	p := &plan{Options: o, root: root}
	p.trees = []*tree{
		{descriptor: firstDescriptor, name: isoName},
		{descriptor: firstDescriptor + 2, name: jolietName, joliet: true},
		{descriptor: partDescriptor, name: isoName, base: partitionStart},
		{descriptor: partDescriptor + 1, name: jolietName, joliet: true, base: partitionStart},
	}
	next := p.placeTrees(firstFree)
	if next, err = p.placeFiles(files, byPath, next); err != nil {
		return nil, err
	}
	return p, errors.Join(p.checkBoot(byPath), p.placePartitions(next))
}

// placeTrees gives the path tables and directories their sectors.
func (p *plan) placeTrees(next uint32) uint32 {
	for _, t := range p.trees {
		t.dirs = p.root.directories(t.name)
		t.tableSize = uint32(len(t.pathTable(true)))
		for i := range t.tables {
			t.tables[i] = next
			next += sectorsFor(int64(t.tableSize))
		}
		for i, d := range t.dirs {
			d.number[t] = uint16(i + 1)
			d.size[t] = sectorsFor(int64(len(p.directory(t, d)))) * SectorSize
			d.at[t] = next
			next += d.size[t] / SectorSize
		}
	}
	return next
}

// placeFiles gives the files their sectors. An empty file has one of its own, which it does
// not use.
func (p *plan) placeFiles(files []File, byPath map[string]*node, start uint32) (uint32, error) {
	next := int64(start)
	for _, f := range files {
		n := byPath[f.Path]
		if f.Within != "" {
			host := byPath[f.Within]
			if host == nil || host.sector == 0 || f.Offset%SectorSize != 0 || f.Offset < 0 || f.Offset+f.Size > host.file.Size {
				return 0, fmt.Errorf("BUG: %q has no place within %q", f.Path, f.Within)
			}
			n.sector = host.sector + uint32(f.Offset/SectorSize)
			continue
		}
		n.sector = uint32(next)
		p.files = append(p.files, n)
		if next += int64(max(sectorsFor(f.Size), 1)); next > maxSectors {
			return 0, fmt.Errorf("%w: 8 TiB is the limit", ErrTooLarge)
		}
	}
	return uint32(next), nil
}

// placePartitions ends the file system on a boundary of 1 MiB, and puts the EFI image and
// the other partitions behind it.
func (p *plan) placePartitions(end uint32) error {
	at := alignUp(int64(end) * SectorSize)
	if at/SectorSize > maxSectors {
		return fmt.Errorf("%w: 8 TiB is the limit", ErrTooLarge)
	}
	p.sectors = uint32(at / SectorSize)
	p.table = &gpt.Table{DiskGUID: p.ID("disk")}
	p.addPartition(PartISO, typeBasicData, partitionStart*SectorSize, at)
	p.table.Partitions[0].Attributes = requiredReadOnly
	if p.EFI != nil {
		p.efi = at
		at = p.addPartition(PartEFI, typeESP, at, at+int64(len(p.EFI)))
	}
	for _, extra := range p.Partitions {
		at = p.addPartition(extra.Name, extra.Type, at, at+alignUp(extra.Size))
	}
	p.size = alignUp(at + 33*gpt.SectorSize) // backup entries and header
	p.table.Sectors = p.size / gpt.SectorSize
	return nil
}

// addPartition adds a partition from start to end, in bytes, and returns where the next
// one can begin.
func (p *plan) addPartition(name string, kind gpt.GUID, start, end int64) int64 {
	p.table.Partitions = append(p.table.Partitions, gpt.Partition{
		Number: len(p.table.Partitions) + 1, Name: name, Type: kind, ID: p.ID("partition " + name),
		First: start / gpt.SectorSize, Last: end/gpt.SectorSize - 1,
	})
	return alignUp(end)
}

func alignUp(n int64) int64 { return (n + align - 1) / align * align }

func sectorsFor(size int64) uint32 { return uint32((size + SectorSize - 1) / SectorSize) }

// checkBoot refuses boot programs that Write cannot patch.
func (p *plan) checkBoot(byPath map[string]*node) error {
	if len(p.EFI)%gpt.SectorSize != 0 || len(p.EFI)/gpt.SectorSize > 0xffff {
		return fmt.Errorf("the EFI image has %d bytes: %w: want a multiple of %d, less than 32 MiB", len(p.EFI), ErrTooLarge, gpt.SectorSize)
	}
	if p.BIOS == nil {
		return nil
	}
	if p.boot = byPath[p.BIOS.Path]; p.boot == nil || p.boot.file.Within != "" {
		return fmt.Errorf("BUG: the boot image %q is no file of the ISO image", p.BIOS.Path)
	}
	if n := p.boot.file.Size; n < bootInfoAt+8 || n > maxBootImage {
		return fmt.Errorf("the boot image %q has %d bytes: want %d to %d; is it made by grub-mkimage -O i386-pc-eltorito?", p.BIOS.Path, n, bootInfoAt+8, maxBootImage)
	}
	if len(p.BIOS.MBR) != gpt.SectorSize || !strings.HasSuffix(string(p.BIOS.MBR), "\x55\xaa") {
		return fmt.Errorf("the boot code has %d bytes: want GRUB's boot_hybrid.img, %d bytes that end with 55 AA", len(p.BIOS.MBR), gpt.SectorSize)
	}
	return nil
}
