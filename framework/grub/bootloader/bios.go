// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A biosDisk is the part of a disk that BIOS uses: the MBR, and the two places for
// core.img.
type biosDisk struct {
	mbr    []byte   // the whole sector
	halves [2]int64 // sectors where core.img can start
	active int      // the half that the MBR names; -1 if there is no boot code
}

// bios reads the disk. It returns ErrForeign for foreign boot code, and ErrNoRoom if
// core.img does not fit into half of its partition.
func (m Machine) bios(f *Files) (*biosDisk, error) {
	part, ok := m.Table.Partition(layout.PartBIOS)
	if !ok {
		return nil, fmt.Errorf("%w: the disk has no partition %q", ErrForeign, layout.PartBIOS)
	}
	half := (part.Last - part.First + 1) / 2
	if need := int64(sectors(len(f.core))); need > half {
		return nil, fmt.Errorf("%s of %d bytes: %w: it has to fit into half of partition %q, %d bytes; make it with fewer modules", BIOSCore, len(f.core), ErrNoRoom, part.Name, half*gpt.SectorSize)
	}
	b := &biosDisk{mbr: make([]byte, gpt.SectorSize), halves: [2]int64{part.First, part.First + half}}
	if _, err := m.Disk.ReadAt(b.mbr, 0); err != nil {
		return nil, fmt.Errorf("reading the MBR: %w", err)
	}
	return b, b.findActive()
}

func (b *biosDisk) findActive() error {
	code := b.mbr[:bootCodeSize]
	switch sector := int64(binary.LittleEndian.Uint64(code[kernelSector:])); {
	case bytes.Equal(code, make([]byte, bootCodeSize)):
		b.active = -1 // the disk was made only for UEFI
	case sector == b.halves[0]:
		b.active = 0
	case sector == b.halves[1]:
		b.active = 1
	default:
		return fmt.Errorf("%w: the MBR loads sector %d, which is in no place of ours (%d)", ErrForeign, sector, b.halves)
	}
	return nil
}

// spare returns the sector where the new core.img can be written.
func (b *biosDisk) spare() int64 {
	if b.active == 0 {
		return b.halves[1]
	}
	return b.halves[0]
}

// holds tells whether core.img, patched for that sector, is there.
func (m Machine) holds(f *Files, sector int64) (bool, error) {
	want := f.Core(sector)
	got := make([]byte, len(want))
	if _, err := m.Disk.ReadAt(got, sector*gpt.SectorSize); err != nil {
		return false, fmt.Errorf("reading core.img in sector %d: %w", sector, err)
	}
	return bytes.Equal(got, want), nil
}

// biosPart tells whether the BIOS programs are installed and staged.
func (m Machine) biosPart(f *Files) (part, error) {
	p := part{name: "BIOS: boot.img and core.img", staged: true}
	b, err := m.bios(f)
	if err != nil {
		return p, err
	}
	if b.active >= 0 && bytes.Equal(b.mbr[:bootCodeSize], f.BootCode(b.halves[b.active])) {
		if p.installed, err = m.holds(f, b.halves[b.active]); err != nil {
			return p, err
		}
	}
	if !p.installed {
		p.staged, err = m.holds(f, b.spare())
	}
	return p, err
}

// stageBIOS writes core.img to the half that is not in use.
func (m Machine) stageBIOS(f *Files) error {
	b, err := m.bios(f)
	if err != nil {
		return err
	}
	image := f.Core(b.spare())
	image = append(image, make([]byte, sectors(len(image))*gpt.SectorSize-len(image))...)
	if _, err := m.Disk.WriteAt(image, b.spare()*gpt.SectorSize); err != nil {
		return fmt.Errorf("writing core.img to sector %d: %w", b.spare(), err)
	}
	return settle(m.Disk)
}

// flipMBR makes the MBR load the staged core.img: one write of one sector.
func (m Machine) flipMBR(f *Files) error {
	b, err := m.bios(f)
	if err != nil {
		return err
	}
	copy(b.mbr, f.BootCode(b.spare()))
	if _, err := m.Disk.WriteAt(b.mbr, 0); err != nil {
		return fmt.Errorf("writing the MBR: %w", err)
	}
	return settle(m.Disk)
}
