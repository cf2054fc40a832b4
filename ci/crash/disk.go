// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A section is a partition of a View.
type section struct {
	*io.SectionReader
	id Identity
}

func (v *View) section(p gpt.Partition) section {
	return section{io.NewSectionReader(v, p.Offset(), p.Size()), v.Identity(p.Offset(), p.Size())}
}

// metaSectors is how many sectors a GPT takes at each end of a disk, with the MBR.
const metaSectors = 34

// A tableID is the identity of the sectors that hold a partition table.
type tableID struct{ primary, backup Identity }

func (v *View) tableID() tableID {
	const meta = metaSectors * SectorSize
	return tableID{v.Identity(0, meta), v.Identity(v.t.Size-meta, meta)}
}

// readTable reads the table and compares it with those before and after the recording.
func (c *Checker) readTable(v *View) (*gpt.Table, error) {
	r := c.tables.get(v.tableID(), func() result[*gpt.Table] {
		t, err := gpt.Read(v, v.Size())
		if err == nil {
			err = c.checkTable(v, t)
		}
		return resultOf(t, err)
	})
	return r.value, r.err
}

func (c *Checker) checkTable(v *View, t *gpt.Table) error {
	mbr := make([]byte, SectorSize)
	if _, err := v.ReadAt(mbr, 0); err != nil {
		return err
	}
	isIn := func(list [][]byte, b []byte) bool {
		return slices.ContainsFunc(list, func(k []byte) bool { return bytes.Equal(k, b) })
	}
	if !isIn(c.known.code, mbr[:bootCodeSize]) || !isIn(c.known.mbr, mbr[bootCodeSize:]) {
		return errors.New("sector 0 is neither that of before nor that of after")
	}
	if !slices.ContainsFunc(c.known.tables, func(k []gpt.Partition) bool { return slices.Equal(k, t.Partitions) }) {
		return errors.New("the partitions are neither those of before nor those of after")
	}
	if t.PrimaryFault == nil {
		return nil
	}
	if !c.known.grows() {
		return fmt.Errorf("only the backup is whole: %w", t.PrimaryFault)
	}
	if err := c.checkGRUBsTable(v); err != nil {
		return fmt.Errorf("GRUB, which reads the primary copy (%w), finds no partition: %w", t.PrimaryFault, err)
	}
	return nil
}

// checkGRUBsTable reads the primary copy as GRUB does, without checking a CRC. While
// the last partition grows, the others must be where they were.
func (c *Checker) checkGRUBsTable(r io.ReaderAt) error {
	head := make([]byte, SectorSize)
	if _, err := r.ReadAt(head, SectorSize); err != nil {
		return err
	}
	le := binary.LittleEndian
	entries, size := int64(le.Uint64(head[72:])), int64(le.Uint32(head[84:]))
	if string(head[:8]) != "EFI PART" || size < 128 || size > SectorSize {
		return errors.New("no header in sector 1")
	}
	for _, p := range c.known.tables[0] {
		if p.Name == layout.PartPersistent {
			continue
		}
		b := make([]byte, 48)
		if _, err := r.ReadAt(b, entries*SectorSize+int64(p.Number-1)*size); err != nil {
			return err
		}
		if first, last := int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:])); first != p.First || last != p.Last {
			return fmt.Errorf("partition %d (%q) lies in sectors %d to %d, want %d to %d", p.Number, p.Name, first, last, p.First, p.Last)
		}
	}
	return nil
}
