// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// ErrLayout says that a disk does not have the partitions of an installation that could be
// kept.
var ErrLayout = errors.New("its partitions cannot be kept")

// NewReinstallation checks that s can be written to a disk that has an installation, whose
// partition table and data stay: everything but the boot loader and the three slots. Sizes,
// Extra, Encrypted and OEM of s are not used. It writes nothing. Errors are those of
// NewInstallation, and ErrLayout.
//
// The order is that of an installation, with two differences: "wipe" replaces sector 0 alone
// by layout.ReinstallMark, which makes firmware pass the disk by, and "table" writes the
// table that is there.
func NewReinstallation(s Spec, d Device, report func(Progress)) (*Installation, error) {
	table, err := gpt.Read(d, d.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	if own := d.Sector(); table.OwnSector() != own {
		return nil, fmt.Errorf("%w: its partition table is for sectors of %d bytes, and it has sectors of %d: it was copied from another disk; install without --no-format", ErrLayout, table.OwnSector(), own)
	}
	if s.Sizes, err = sizesOf(table, s.Image.Tree.Size); err != nil {
		return nil, err
	}
	s.Extra, s.Encrypted, s.OEM = nil, nil, nil
	p, err := newPlan(s)
	if err != nil {
		return nil, err
	}
	if err := sameSystem(p.table, table); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(Progress) {}
	}
	return &Installation{plan: p, table: table, device: d, report: report, keep: true}, nil
}

// sizesOf reads the sizes of the partitions of the system.
func sizesOf(t *gpt.Table, image int64) (layout.Sizes, error) {
	var missing []string
	size := func(name string) int64 {
		p, ok := t.Partition(name)
		if !ok {
			missing = append(missing, name)
		}
		return p.Size()
	}
	s := layout.Sizes{
		ImageSize: image, EFI: size(layout.PartEFI), Boot: size(layout.SlotA.Boot()),
		Root: size(layout.SlotA.Root()), Recovery: size(layout.SlotRecovery.Root()),
	}
	if len(missing) > 0 {
		return s, fmt.Errorf("%w: it has no partition %q: it is no installed node; install without --no-format", ErrLayout, missing)
	}
	return s, nil
}

// sameSystem compares the places of the partitions of the system.
func sameSystem(want, have *gpt.Table) error {
	for _, w := range want.Partitions {
		if isData(w.Name) {
			continue
		}
		h, ok := have.Partition(w.Name)
		if !ok || h.First != w.First || h.Last != w.Last {
			return fmt.Errorf("%w: partition %q is missing, or not where an installation puts it (MiB %d to %d): install without --no-format", ErrLayout, w.Name, w.First>>11, (w.Last+1)>>11)
		}
	}
	return nil
}

func isData(partition string) bool {
	return partition == layout.PartOEM || partition == layout.PartPersistent
}

// mark makes sector 0 one that no firmware starts. Until start, the disk is a reinstallation
// that was interrupted.
func (i *Installation) mark() error {
	i.report(Progress{Step: StepWipe})
	sector := make([]byte, i.device.Sector())
	copy(sector, layout.ReinstallMark)
	if _, err := i.device.WriteAt(sector, 0); err != nil {
		return fmt.Errorf("writing sector 0: %w", err)
	}
	return i.sync()
}
