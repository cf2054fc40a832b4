// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// write writes the image. The descriptors come last: until then there is no file system.
func (p *plan) write(ctx context.Context, w io.WriterAt) error {
	for _, n := range p.files {
		if err := p.writeFile(ctx, w, n); err != nil {
			return fmt.Errorf("%s: %w", n.file.Path, err)
		}
	}
	if err := p.writePartitions(w); err != nil {
		return err
	}
	return errors.Join(p.writeTrees(w), p.writeTable(w), p.writeDescriptors(w))
}

const copyStep = 1 << 20

func (p *plan) writeFile(ctx context.Context, w io.WriterAt, n *node) error {
	data := n.file.Data
	if n == p.boot {
		patched, err := p.bootImage(n)
		if err != nil {
			return err
		}
		data = patched
	}
	buf := make([]byte, min(copyStep, n.file.Size))
	for at := int64(0); at < n.file.Size; at += copyStep {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := buf[:min(copyStep, n.file.Size-at)]
		if got, err := data.ReadAt(b, at); got < len(b) {
			return fmt.Errorf("reading %d bytes at %d: %w", len(b), at, orShort(err))
		}
		if _, err := w.WriteAt(b, int64(n.sector)*SectorSize+at); err != nil {
			return err
		}
	}
	return nil
}

func orShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p *plan) writeTrees(w io.WriterAt) error {
	for _, t := range p.trees {
		for i, little := range []bool{true, false} {
			if err := writeSector(w, t.pathTable(little), t.tables[i]); err != nil {
				return err
			}
		}
		for _, d := range t.dirs {
			b := p.directory(t, d)
			if err := writeSector(w, append(b, make([]byte, int(d.size[t])-len(b))...), d.at[t]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plan) writeDescriptors(w io.WriterAt) error {
	for _, t := range p.trees {
		if err := writeSector(w, p.volume(t), t.descriptor); err != nil {
			return err
		}
	}
	for _, end := range []uint32{p.trees[1].descriptor + 1, p.trees[3].descriptor + 1} {
		if err := writeSector(w, descriptor(typeEnd), end); err != nil {
			return err
		}
	}
	return errors.Join(writeSector(w, p.catalog(), catalogSector), writeSector(w, bootRecord(), bootRecordSector))
}

func writeSector(w io.WriterAt, b []byte, sector uint32) error {
	_, err := w.WriteAt(b, int64(sector)*SectorSize)
	return err
}

func (p *plan) writePartitions(w io.WriterAt) error {
	if p.EFI != nil {
		if _, err := w.WriteAt(p.EFI, p.efi); err != nil {
			return err
		}
	}
	rest := p.table.Partitions[len(p.table.Partitions)-len(p.Partitions):]
	for i, extra := range p.Partitions {
		if err := extra.Write(io.NewOffsetWriter(w, rest[i].Offset())); err != nil {
			return fmt.Errorf("partition %s: %w", extra.Name, err)
		}
	}
	return nil
}

// writeTable writes both partition tables, and boot code and records of the MBR.
func (p *plan) writeTable(w io.WriterAt) error {
	if err := p.table.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteAt(p.bootCode(), 0); err != nil {
		return err
	}
	// Some BIOSes start no disk without an active partition. This one is one sector of
	// no type.
	active := []byte{0x80, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0}
	_, err := w.WriteAt(active, mbrRecords+16)
	return err
}

var (
	typeBasicData = mustGUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
	typeESP       = mustGUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
)

// requiredReadOnly are the attributes that xorriso gives the partition of the file system:
// bit 0 "required", bit 60 "read-only".
const requiredReadOnly = 0x1000000000000001

func mustGUID(s string) gpt.GUID {
	g, err := gpt.ParseGUID(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return g
}
