// SPDX-License-Identifier: Apache-2.0

package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf16"
)

// A Device is a disk whose writes reach the medium when Sync returns.
type Device interface {
	io.WriterAt
	Sync() error
}

// Write writes both copies and the protective MBR's record to a disk that is
// not in use, in no special order and without flushing.
func (t *Table) Write(w io.WriterAt) error {
	for _, write := range []func(io.WriterAt) error{t.WriteBackup, t.WritePrimary, t.WriteProtectiveMBR} {
		if err := write(w); err != nil {
			return err
		}
	}
	return nil
}

// Rewrite replaces the table of a disk that is in use, maybe by a table for a
// larger disk (see Grown). A power cut at any moment leaves a disk that Read
// understands, with the old or with the new table. Rewrite writes:
//
//  1. the new backup at the end of the disk, and flushes: the old primary is valid
//  2. the primary header and entries, and flushes: if only a part of them reaches
//     the disk, a CRC is wrong and the new backup is valid
//  3. the record in the protective MBR, and flushes: it names the disk's size, which
//     need not be exact
//
// When the old table was read from the backup (PrimaryFault), 2 comes before 1.
func Rewrite(d Device, t *Table) error {
	steps := []func(io.WriterAt) error{t.WriteBackup, t.WritePrimary, t.WriteProtectiveMBR}
	if t.PrimaryFault != nil {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, write := range steps {
		if err := write(d); err != nil {
			return err
		}
		if err := d.Sync(); err != nil {
			return fmt.Errorf("flushing partition table: %w", err)
		}
	}
	return nil
}

// WritePrimary writes the header and the entries at the beginning of the disk,
// as one write.
func (t *Table) WritePrimary(w io.WriterAt) error {
	entries, err := t.entries()
	if err != nil {
		return err
	}
	g := t.geometry()
	meta := append(t.header(entries, 1, t.last(), 2), entries...)
	if _, err := w.WriteAt(meta, int64(g)); err != nil {
		return fmt.Errorf("writing primary partition table: %w", err)
	}
	return nil
}

// WriteBackup writes the entries and the header at the end of the disk, as one
// write.
func (t *Table) WriteBackup(w io.WriterAt) error {
	entries, err := t.entries()
	if err != nil {
		return err
	}
	g := t.geometry()
	at := t.last() + 1 - g.meta()
	meta := append(slices.Clip(entries), t.header(entries, t.last(), 1, at)...)
	if _, err := w.WriteAt(meta, at*int64(g)); err != nil {
		return fmt.Errorf("writing backup partition table in sector %d: %w", at, err)
	}
	return nil
}

// WriteProtectiveMBR writes the last 66 bytes of sector 0: four records, the
// first of type 0xEE over the whole disk, and the signature.
func (t *Table) WriteProtectiveMBR(w io.WriterAt) error {
	const records = 446
	b := make([]byte, SectorSize-records)
	copy(b, []byte{0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff}) // CHS 0/0/2 to "too large"
	binary.LittleEndian.PutUint32(b[8:], 1)
	binary.LittleEndian.PutUint32(b[12:], uint32(min(t.last(), math.MaxUint32)))
	copy(b[64:], []byte{0x55, 0xaa})
	if _, err := w.WriteAt(b, records); err != nil {
		return fmt.Errorf("writing protective MBR: %w", err)
	}
	return nil
}

// last is the number of the disk's last sector of its own.
func (t *Table) last() int64 { return t.Sectors/t.geometry().unit() - 1 }

// header is a whole sector. Its sector numbers are the disk's own.
func (t *Table) header(entries []byte, self, other, entriesAt int64) []byte {
	g := t.geometry()
	b := make([]byte, g)
	le := binary.LittleEndian
	copy(b, signature)
	le.PutUint32(b[8:], revision)
	le.PutUint32(b[12:], minHeaderSize)
	le.PutUint64(b[24:], uint64(self))
	le.PutUint64(b[32:], uint64(other))
	le.PutUint64(b[40:], uint64(g.firstUsable()))
	le.PutUint64(b[48:], uint64(g.lastUsable(t.last()+1)))
	disk := t.DiskGUID.swapped()
	copy(b[56:], disk[:])
	le.PutUint64(b[72:], uint64(entriesAt))
	le.PutUint32(b[80:], entryCount)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(b[16:], headerCRC(b[:minHeaderSize]))
	return b
}

func (t *Table) entries() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("partition table for %d sectors: %w", t.Sectors, err)
	}
	b := make([]byte, entryCount*entrySize)
	for _, p := range t.Partitions {
		if err := p.encode(t.geometry(), b[(p.Number-1)*entrySize:][:entrySize]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (p Partition) encode(g geometry, b []byte) error {
	units := utf16.Encode([]rune(p.Name))
	if len(units) > 36 || strings.ContainsRune(p.Name, 0) {
		return fmt.Errorf("partition %d: name %q: want at most 36 characters, and no NUL", p.Number, p.Name)
	}
	le := binary.LittleEndian
	kind, id := p.Type.swapped(), p.ID.swapped()
	copy(b, kind[:])
	copy(b[16:], id[:])
	le.PutUint64(b[32:], uint64(p.First/g.unit()))
	le.PutUint64(b[40:], uint64((p.Last+1)/g.unit()-1))
	le.PutUint64(b[48:], p.Attributes)
	for i, u := range units {
		le.PutUint16(b[56+2*i:], u)
	}
	return nil
}
