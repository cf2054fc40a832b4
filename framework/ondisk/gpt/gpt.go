// SPDX-License-Identifier: Apache-2.0

// Package gpt reads and writes GUID partition tables on disks with 512-byte
// sectors, and rewrites one in an order that survives a power cut at any
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

// SectorSize is in bytes. Disks with 4096-byte logical sectors are not supported.
const SectorSize = 512

const (
	entryCount   = 128
	entrySize    = 128
	entrySectors = entryCount * entrySize / SectorSize
	// metaSectors is the size of a header with its entries.
	metaSectors = 1 + entrySectors
	firstUsable = 1 + metaSectors
	minSectors  = firstUsable + 1 + metaSectors
)

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
	DiskGUID   GUID
	Sectors    int64
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
	if sectors < t.Sectors {
		return nil, fmt.Errorf("growing partition %q: the disk has %d sectors, its table is for %d", name, sectors, t.Sectors)
	}
	g := &Table{DiskGUID: t.DiskGUID, Sectors: sectors, Partitions: slices.Clone(t.Partitions), PrimaryFault: t.PrimaryFault}
	i := slices.IndexFunc(g.Partitions, func(p Partition) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("growing partition %q: no such partition", name)
	}
	end := (lastUsable(sectors) + 1) / align * align
	g.Partitions[i].Last = max(g.Partitions[i].Last, end-1)
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("growing partition %q: %w", name, err)
	}
	return g, nil
}

// Personal returns a copy of t with new random GUIDs for the disk and every
// partition.
func (t *Table) Personal() *Table {
	p := &Table{DiskGUID: NewGUID(), Sectors: t.Sectors, Partitions: slices.Clone(t.Partitions), PrimaryFault: t.PrimaryFault}
	for i := range p.Partitions {
		p.Partitions[i].ID = NewGUID()
	}
	return p
}

func lastUsable(sectors int64) int64 { return sectors - metaSectors - 1 }

// check returns an error for a table that must not be written.
func (t *Table) check() error {
	if t.Sectors < minSectors {
		return fmt.Errorf("a disk needs at least %d sectors", minSectors)
	}
	sorted := slices.SortedFunc(slices.Values(t.Partitions), func(a, b Partition) int { return cmp.Compare(a.First, b.First) })
	numbers := map[int]bool{}
	end := int64(firstUsable)
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
		case p.Last > lastUsable(t.Sectors):
			return fmt.Errorf("partition %d (%q) ends in sector %d; the last usable one is %d", p.Number, p.Name, p.Last, lastUsable(t.Sectors))
		}
		numbers[p.Number] = true
		end = p.Last + 1
	}
	return nil
}
