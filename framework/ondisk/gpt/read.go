// SPDX-License-Identifier: Apache-2.0

package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"unicode/utf16"
)

// ErrNoTable is returned when neither copy of the table exists: the disk was never
// partitioned with GPT.
var ErrNoTable = errors.New("no GUID partition table found")

const (
	signature     = "EFI PART"
	revision      = 0x00010000
	minHeaderSize = 92
	maxEntryCount = 4096
	maxEntrySize  = 4096
	maxEntryBytes = 1 << 20
)

// Read reads the partition table of a disk of size bytes. It takes the primary
// copy if that is whole and sane, and otherwise the backup in the disk's last
// sector; then PrimaryFault says why. Table.Sectors is the disk size that the table
// was made for: after a copy to a larger disk it is smaller than the disk.
//
// It looks for a table of sectors of 512 bytes, and if there is none, of 4096 bytes.
// Where sector 1 of the first would be, the second has nothing.
//
// If neither copy is whole, the error names the fault of each; it is ErrNoTable if
// neither has a header at all.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	t, err := read(r, size, SectorSize)
	if !errors.Is(err, ErrNoTable) {
		return t, err
	}
	large, largeErr := read(r, size, LargeSector)
	if errors.Is(largeErr, ErrNoTable) {
		return nil, err
	}
	return large, largeErr
}

func read(r io.ReaderAt, size int64, g geometry) (*Table, error) {
	sectors := size / int64(g)
	if sectors < g.least() {
		return nil, fmt.Errorf("a disk of %d bytes: %w", size, ErrNoTable)
	}
	t, primary := g.readCopy(r, 1, sectors)
	if primary == nil {
		return t, nil
	}
	t, backup := g.readCopy(r, sectors-1, sectors)
	if backup == nil {
		t.PrimaryFault = primary
		return t, nil
	}
	if errors.Is(primary, ErrNoTable) && errors.Is(backup, ErrNoTable) {
		return nil, fmt.Errorf("in sector 1 and in sector %d: %w", sectors-1, ErrNoTable)
	}
	return nil, fmt.Errorf("reading partition table: primary: %w; backup: %w", primary, backup)
}

// ReadUnchecked reads the entries of the primary copy as GRUB does, without checking
// a CRC: it finds partitions in a table that Read refuses. It returns an error when
// GRUB would find no table.
func ReadUnchecked(r io.ReaderAt, size int64) ([]Partition, error) {
	list, err := readUnchecked(r, size, SectorSize)
	if !errors.Is(err, ErrNoTable) || size < 2*LargeSector {
		return list, err
	}
	return readUnchecked(r, size, LargeSector)
}

func readUnchecked(r io.ReaderAt, size int64, g geometry) ([]Partition, error) {
	sector := make([]byte, SectorSize)
	if _, err := r.ReadAt(sector, int64(g)); err != nil {
		return nil, fmt.Errorf("reading header in sector 1: %w", err)
	}
	if string(sector[:8]) != signature {
		return nil, fmt.Errorf("in sector 1: %w", ErrNoTable)
	}
	h := headerFields(sector)
	h.self = 1
	if err := h.check(g, 1, size/int64(g)); err != nil {
		return nil, fmt.Errorf("header in sector 1: %w", err)
	}
	raw := make([]byte, int64(h.count)*int64(h.size))
	if _, err := r.ReadAt(raw, h.entries*int64(g)); err != nil {
		return nil, fmt.Errorf("reading entries in sector %d: %w", h.entries, err)
	}
	var list []Partition
	for i := range int(h.count) {
		if p := parseEntry(raw[i*int(h.size):][:entrySize]); p.Type != (GUID{}) {
			p.Number = i + 1
			list = append(list, p.in(g))
		}
	}
	return list, nil
}

// A header holds the fields of the header sector that we use.
type header struct {
	disk       GUID
	self       int64
	other      int64
	first      int64 // usable sectors
	last       int64
	entries    int64 // sector
	count      uint32
	size       uint32 // of an entry, bytes
	entriesCRC uint32
}

func (g geometry) readCopy(r io.ReaderAt, lba, sectors int64) (*Table, error) {
	sector := make([]byte, SectorSize)
	if _, err := r.ReadAt(sector, lba*int64(g)); err != nil {
		return nil, fmt.Errorf("reading header in sector %d: %w", lba, err)
	}
	h, err := parseHeader(sector, g, lba, sectors)
	if err != nil {
		return nil, fmt.Errorf("header in sector %d: %w", lba, err)
	}
	raw := make([]byte, int64(h.count)*int64(h.size))
	if _, err := r.ReadAt(raw, h.entries*int64(g)); err != nil {
		return nil, fmt.Errorf("reading entries in sector %d: %w", h.entries, err)
	}
	if sum := crc32.ChecksumIEEE(raw); sum != h.entriesCRC {
		return nil, fmt.Errorf("entries in sector %d: CRC is %08x, header says %08x", h.entries, sum, h.entriesCRC)
	}
	t := &Table{DiskGUID: h.disk, Large: g == LargeSector, Sectors: (max(h.self, h.other) + 1) * g.unit()}
	t.Partitions, err = parseEntries(raw, g, h)
	return t, err
}

func parseHeader(b []byte, g geometry, lba, sectors int64) (header, error) {
	le := binary.LittleEndian
	if string(b[:8]) != signature {
		return header{}, ErrNoTable
	}
	n := le.Uint32(b[12:])
	if v := le.Uint32(b[8:]); v != revision || n < minHeaderSize || n > SectorSize {
		return header{}, fmt.Errorf("revision %#x, %d bytes: want revision %#x, %d to %d bytes", v, n, revision, minHeaderSize, SectorSize)
	}
	if sum, want := headerCRC(b[:n]), le.Uint32(b[16:]); sum != want {
		return header{}, fmt.Errorf("CRC is %08x, it says %08x", sum, want)
	}
	h := headerFields(b)
	return h, h.check(g, lba, sectors)
}

func headerFields(b []byte) header {
	le := binary.LittleEndian
	return header{
		disk:       GUID(b[56:72]).swapped(),
		self:       int64(le.Uint64(b[24:])),
		other:      int64(le.Uint64(b[32:])),
		first:      int64(le.Uint64(b[40:])),
		last:       int64(le.Uint64(b[48:])),
		entries:    int64(le.Uint64(b[72:])),
		count:      le.Uint32(b[80:]),
		size:       le.Uint32(b[84:]),
		entriesCRC: le.Uint32(b[88:]),
	}
}

// headerCRC returns the checksum of a header, with its own field taken as zero.
func headerCRC(b []byte) uint32 {
	sum := crc32.ChecksumIEEE(b[:16])
	sum = crc32.Update(sum, crc32.IEEETable, make([]byte, 4))
	return crc32.Update(sum, crc32.IEEETable, b[20:])
}

func (h header) check(g geometry, lba, sectors int64) error {
	in := func(v int64) bool { return v > 0 && v < sectors }
	bytes := int64(h.count) * int64(h.size)
	switch {
	case h.self != lba:
		return fmt.Errorf("it belongs in sector %d", h.self)
	case !in(h.other) || !in(h.first) || !in(h.last) || !in(h.entries) || h.last < h.first:
		return fmt.Errorf("it points outside of a disk of %d sectors", sectors)
	case h.size < entrySize || h.size > maxEntrySize || bits.OnesCount32(h.size) != 1:
		return fmt.Errorf("entries of %d bytes: want a power of two, %d to %d", h.size, entrySize, maxEntrySize)
	case h.count > maxEntryCount || bytes > maxEntryBytes || h.entries+(bytes+int64(g)-1)/int64(g) > sectors:
		return fmt.Errorf("%d entries of %d bytes in sector %d are too many", h.count, h.size, h.entries)
	}
	return nil
}

// parseEntries reads the entries in use. It accepts entries that overlap: a write of
// the table checks that.
func parseEntries(raw []byte, g geometry, h header) ([]Partition, error) {
	var list []Partition
	for i := range int(h.count) {
		b := raw[i*int(h.size):][:entrySize]
		p := parseEntry(b)
		if p.Type == (GUID{}) {
			continue
		}
		p.Number = i + 1
		if p.First < h.first || p.Last > h.last || p.Last < p.First {
			return nil, fmt.Errorf("partition %d (%q) lies in sectors %d to %d; usable are %d to %d", p.Number, p.Name, p.First, p.Last, h.first, h.last)
		}
		list = append(list, p.in(g))
	}
	return list, nil
}

// in turns the disk's own sectors into sectors of 512 bytes.
func (p Partition) in(g geometry) Partition {
	p.First, p.Last = p.First*g.unit(), (p.Last+1)*g.unit()-1
	return p
}

func parseEntry(b []byte) Partition {
	le := binary.LittleEndian
	return Partition{
		Type:       GUID(b[0:16]).swapped(),
		ID:         GUID(b[16:32]).swapped(),
		First:      int64(le.Uint64(b[32:])),
		Last:       int64(le.Uint64(b[40:])),
		Attributes: le.Uint64(b[48:]),
		Name:       decodeName(b[56:128]),
	}
}

func decodeName(b []byte) string {
	var units []uint16
	for ; len(b) > 1; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
