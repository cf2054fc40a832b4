// SPDX-License-Identifier: Apache-2.0

// Package gpt reads and writes GUID partition tables on disks with sectors of 512
// or 4096 bytes, and rewrites one in an order that survives a power cut at any
// moment. It owns the protective MBR's partition record too, but not the boot
// code before it. It imports only the standard library: /init contains it.
//
// On the disk (UEFI 2.10, chapter 5), in sectors of 512 bytes; n is their count:
//
//	0          protective MBR: boot code, and one record of type 0xEE
//	1          primary header
//	2..33      primary entries: 128 of 128 bytes
//	34..n-34   partitions
//	n-33..n-2  backup entries
//	n-1        backup header
//
// With sectors of 4096 bytes the entries take 4 sectors, and everything that is on the disk
// counts in such sectors. In this package all sectors have 512 bytes, as in Linux' sysfs:
// only Table.Large tells what the disk has.
//
// A header holds a CRC-32 of itself and of the entries, which reveals a copy that
// was only half written; then the other copy is used. Tables of other tools may have
// other entry counts and sizes; they are read, and written again in the form above.
//
// # Readers that fall back to the backup
//
// Read does, and so does UEFI firmware. Linux does so only with the argument "gpt"
// on its command line. GRUB checks no CRC: it takes the primary entries as they are.
// So Rewrite may change any number of entries, but is safe under GRUB only when the
// partitions that GRUB needs stay where they are. When it also changes GUIDs, a
// power cut may leave the old ones for GRUB and the new ones for Read:
// ReadUnchecked returns what GRUB sees.
package gpt

import (
	"cmp"
	"fmt"
	"slices"
)

// SectorSize is the unit of all sector numbers here, in bytes.
const SectorSize = 512

// LargeSector is the size of the sectors of 4K native disks, in bytes.
const LargeSector = 4096

const (
	entryCount = 128
	entrySize  = 128
)

// A geometry is the size of a disk's own sectors, in bytes. Its numbers of sectors are
// numbers of these.
type geometry int64

// unit is how many sectors of 512 bytes a sector has.
func (g geometry) unit() int64 { return int64(g) / SectorSize }

// meta is the size of a header with its entries.
func (g geometry) meta() int64 { return 1 + entryCount*entrySize/int64(g) }

func (g geometry) firstUsable() int64             { return 1 + g.meta() }
func (g geometry) lastUsable(sectors int64) int64 { return sectors - g.meta() - 1 }
func (g geometry) least() int64                   { return g.firstUsable() + 1 + g.meta() }

// Attribute bits of a partition.
const (
	AttrRequired   uint64 = 1 << 0  // the platform needs it: firmware tools leave it alone
	AttrNoBlockIO  uint64 = 1 << 1  // firmware must not read it
	AttrLegacyBoot uint64 = 1 << 2  // a legacy BIOS may boot it
	AttrReadOnly   uint64 = 1 << 60 // Discoverable Partitions: mount read-only
	AttrGrow       uint64 = 1 << 59 // Discoverable Partitions: grow its file system
	AttrNoAuto     uint64 = 1 << 63 // Discoverable Partitions: do not mount automatically
)

// A Partition is one entry in use.
type Partition struct {
	Number     int // from 1
	Type       GUID
	ID         GUID // PARTUUID in Linux
	First      int64
	Last       int64 // sectors, both inclusive
	Attributes uint64
	Name       string // at most 36 UTF-16 code units
}

// Offset returns the offset of the partition's first byte on the disk.
func (p Partition) Offset() int64 { return p.First * SectorSize }

// Size returns the size of the partition in bytes.
func (p Partition) Size() int64 { return (p.Last - p.First + 1) * SectorSize }

// A Table is a partition table for a disk of Sectors sectors.
type Table struct {
	DiskGUID GUID
	// Large says that the disk's own sectors have LargeSector bytes.
	Large      bool
	Sectors    int64       // of 512 bytes
	Partitions []Partition // by number

	// PrimaryFault is set by Read when it used the backup: the fault of the primary
	// copy. Rewrite depends on it.
	PrimaryFault error
}

// Partition finds a partition by its name. The first one wins.
func (t *Table) Partition(name string) (Partition, bool) {
	i := slices.IndexFunc(t.Partitions, func(p Partition) bool { return p.Name == name })
	if i < 0 {
		return Partition{}, false
	}
	return t.Partitions[i], true
}

// Grown returns a copy of t for a disk of that many sectors, in which the named
// partition reaches to the end, to a multiple of 1 MiB. It returns an error if the
// disk is smaller than t says, if there is no such partition, or if another
// partition lies behind it.
func (t *Table) Grown(name string, sectors int64) (*Table, error) {
	const align = 1 << 20 / SectorSize
	g := t.For(sectors)
	if g.Sectors < t.Sectors {
		return nil, fmt.Errorf("growing partition %q: the disk has %d sectors, its table is for %d", name, sectors, t.Sectors)
	}
	i := slices.IndexFunc(g.Partitions, func(p Partition) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("growing partition %q: no such partition", name)
	}
	end := g.UsableEnd() / align * align
	g.Partitions[i].Last = max(g.Partitions[i].Last, end-1)
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("growing partition %q: %w", name, err)
	}
	return g, nil
}

// Personal returns a copy of t with new random GUIDs for the disk and every
// partition.
func (t *Table) Personal() *Table {
	p := t.clone()
	p.DiskGUID = NewGUID()
	for i := range p.Partitions {
		p.Partitions[i].ID = NewGUID()
	}
	return p
}

// UsableEnd is the sector after the last one that a partition may have.
func (t *Table) UsableEnd() int64 {
	g := t.geometry()
	return (g.lastUsable(t.Sectors/g.unit()) + 1) * g.unit()
}

// For returns a copy of t for a disk of that many sectors of 512 bytes.
func (t *Table) For(sectors int64) *Table {
	c := t.clone()
	unit := t.geometry().unit()
	c.Sectors = sectors / unit * unit
	return c
}

// OwnSector is the size of the disk's own sectors, in bytes.
func (t *Table) OwnSector() int64 { return int64(t.geometry()) }

func (t *Table) clone() *Table {
	c := *t
	c.Partitions = slices.Clone(t.Partitions)
	return &c
}

func (t *Table) geometry() geometry {
	if t.Large {
		return LargeSector
	}
	return SectorSize
}

// check returns an error for a table that must not be written.
func (t *Table) check() error {
	g := t.geometry()
	unit := g.unit()
	switch {
	case t.Sectors < g.least()*unit:
		return fmt.Errorf("a disk needs at least %d sectors", g.least()*unit)
	case t.Sectors%unit != 0:
		return fmt.Errorf("a disk with sectors of %d bytes cannot have %d of %d", g, t.Sectors, SectorSize)
	}
	sorted := slices.SortedFunc(slices.Values(t.Partitions), func(a, b Partition) int { return cmp.Compare(a.First, b.First) })
	numbers := map[int]bool{}
	end := g.firstUsable() * unit
	for _, p := range sorted {
		switch {
		case p.Number < 1 || p.Number > entryCount:
			return fmt.Errorf("partition %q has number %d: want 1 to %d", p.Name, p.Number, entryCount)
		case numbers[p.Number]:
			return fmt.Errorf("partition %q: number %d is used twice", p.Name, p.Number)
		case p.Type == GUID{}:
			return fmt.Errorf("partition %d (%q) has no type", p.Number, p.Name)
		case p.Last < p.First:
			return fmt.Errorf("partition %d (%q) ends in sector %d, before its first, %d", p.Number, p.Name, p.Last, p.First)
		case p.First < end:
			return fmt.Errorf("partition %d (%q) starts in sector %d, which is not free before %d", p.Number, p.Name, p.First, end)
		case p.Last >= t.UsableEnd():
			return fmt.Errorf("partition %d (%q) ends in sector %d; the last usable one is %d", p.Number, p.Name, p.Last, t.UsableEnd()-1)
		case p.First%unit != 0 || (p.Last+1)%unit != 0:
			return fmt.Errorf("partition %d (%q) lies in sectors %d to %d, which are no whole sectors of %d bytes", p.Number, p.Name, p.First, p.Last, g)
		}
		numbers[p.Number] = true
		end = p.Last + 1
	}
	return nil
}
