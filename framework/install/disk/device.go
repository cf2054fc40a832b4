// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// A Device is a whole disk that nothing else uses.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Size() int64   // bytes
	Sector() int64 // bytes of a sector of its own: gpt.SectorSize or gpt.LargeSector
	Sync() error   // puts what was written on the medium
	// Forget makes the next reads come from the medium. Sync comes first.
	Forget() error
}

// Progress of a step, in bytes. Total is 0 if it is not known.
type Progress struct {
	Step        string
	Done, Total int64
}

// The steps of a Plan's Install that report progress.
const (
	StepWipe     = "wiping the old partition table"
	StepWrite    = "writing"
	StepReadBack = "reading back"
	StepFinish   = "writing the partition table"
)

// ErrTooSmall says that a device is too small for a disk.
var ErrTooSmall = errors.New("the disk is too small")

// ErrReadBack says that a device does not hold what was written to it.
var ErrReadBack = errors.New("the disk does not read back as it was written: replace it")

// An Installation is a checked plan of a disk on a device. The disk has the partitions and
// the contents of the file that Write makes of the same Spec, with two differences, which
// that file gets at its first boot: its GUIDs are random, so that no two installed
// disks are twins (docs/decisions/0013), and its last partition reaches to the end of
// the device. Encrypted partitions have random keys.
//
// # The order, and what boots after a power cut
//
//	check    that everything fits                            nothing was written
//	wipe     the first and the last MiB of the device        the old disk, or nothing
//	write    every partition                                 nothing
//	read back  every partition, from the medium              nothing
//	table    the second partition table, then the first      nothing, or the new disk, whole
//	start    sector 0: boot code and protective MBR          the new disk
//
// Each line ends with a flush. Firmware starts no disk without a valid sector 0. Until the
// end of "wipe" nothing of the old disk but its tables is lost. From then on there is
// nothing to boot until all is there. So an installation can be run again after any
// interruption, from the beginning.
type Installation struct {
	plan   *plan
	table  *gpt.Table // for the device
	device Device
	report func(Progress)
	keep   bool // the table and the data stay
}

// NewInstallation checks that s can be written to a device. It writes nothing. Errors are
// those of Write, and ErrTooSmall. report is called by one goroutine; nil is allowed.
func NewInstallation(s Spec, d Device, report func(Progress)) (*Installation, error) {
	p, err := newPlan(s)
	if err != nil {
		return nil, err
	}
	if d.Size() < p.size {
		return nil, fmt.Errorf("%w: it has %d MiB, and the installation needs %d MiB: %s", ErrTooSmall, d.Size()>>20, (p.size-1)>>20+1, p.sizes())
	}
	table, err := tableFor(p, d)
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(Progress) {}
	}
	return &Installation{plan: p, table: table, device: d, report: report}, nil
}

// tableFor is the plan's partition table, as it is on the device.
func tableFor(p *plan, d Device) (*gpt.Table, error) {
	if s := d.Sector(); s != gpt.SectorSize && s != gpt.LargeSector {
		return nil, fmt.Errorf("its sectors have %d bytes: want %d or %d", s, gpt.SectorSize, gpt.LargeSector)
	}
	t := p.table.Personal()
	t.Large = d.Sector() == gpt.LargeSector
	return t.Grown(layout.PartPersistent, d.Size()/gpt.SectorSize)
}

// Size is how many bytes a disk for s has at least. It checks s as NewInstallation does.
func Size(s Spec) (size int64, words string, err error) {
	p, err := newPlan(s)
	if err != nil {
		return 0, "", err
	}
	return p.size, p.sizes(), nil
}

// sizes says what the space is needed for.
func (p *plan) sizes() string {
	var slots, recovery, rest int64 = 0, 0, 2 * edge
	for _, part := range p.parts {
		switch part.Slot {
		case layout.SlotA, layout.SlotB:
			slots += part.Size
		case layout.SlotRecovery:
			recovery += part.Size
		default:
			rest += part.Size
		}
	}
	return fmt.Sprintf("%d MiB for the slots a and b, %d MiB for recovery, %d MiB for the boot loader, the configuration and the least of data", slots>>20, recovery>>20, rest>>20)
}

// Table is the partition table that the device gets.
func (i *Installation) Table() *gpt.Table { return i.table }

// Run writes the disk. After an error, or a power cut, the device boots as the type's
// comment says.
func (i *Installation) Run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{i.wipe, i.write, i.readBack, i.writeTable, i.start} {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wipe makes the device a disk without partitions.
func (i *Installation) wipe(ctx context.Context) error {
	if i.keep {
		return i.mark()
	}
	i.report(Progress{Step: StepWipe})
	end := i.device.Size() / i.device.Sector() * i.device.Sector()
	if err := zero(ctx, i.device, 0, edge); err != nil {
		return fmt.Errorf("wiping the partition table: %w", err)
	}
	if err := zero(ctx, i.device, end-edge, end); err != nil {
		return fmt.Errorf("wiping the backup partition table: %w", err)
	}
	return i.sync()
}

// write fills every partition.
func (i *Installation) write(ctx context.Context) error {
	w := &counter{to: i.device, report: i.report, p: Progress{Step: StepWrite, Total: i.toWrite()}}
	for _, r := range i.partitions() {
		if r.isRoot() {
			continue
		}
		if err := i.fill(ctx, r, w); err != nil {
			return fmt.Errorf("partition %s: %w", r.name, err)
		}
	}
	if err := i.writeRoots(ctx, w); err != nil {
		return err
	}
	return i.sync()
}

func (i *Installation) fill(ctx context.Context, r *region, w io.WriterAt) error {
	out := &bounded{ctx: ctx, to: sectored{i.device, w, i.device.Sector()}, region: r}
	if r.sparse {
		if err := zero(ctx, out, r.start, r.end); err != nil {
			return err
		}
	}
	return r.write(out)
}

// readBack compares the partitions on the medium with what was written.
func (i *Installation) readBack(ctx context.Context) error {
	if err := i.device.Forget(); err != nil {
		return err
	}
	p := Progress{Step: StepReadBack, Total: i.plan.Image.Tree.Size * int64(len(layout.Slots()))}
	for _, r := range i.partitions() {
		i.report(p)
		if err := i.compare(ctx, r); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("partition %s: %w: %w", r.name, ErrReadBack, err)
		}
		if r.isRoot() {
			p.Done += i.plan.Image.Tree.Size
		}
	}
	i.report(p)
	return nil
}

func (i *Installation) compare(ctx context.Context, r *region) error {
	if r.isRoot() {
		return verity.Verify(ctx, io.NewSectionReader(i.device, r.start, r.end-r.start), i.plan.Image.Tree)
	}
	return r.write(&bounded{ctx: ctx, to: comparer{i.device}, region: r})
}

func (i *Installation) writeTable(context.Context) error {
	i.report(Progress{Step: StepFinish})
	copies := []func(io.WriterAt) error{i.table.WriteBackup, i.table.WritePrimary}
	if i.table.PrimaryFault != nil { // of a disk that is kept: the backup is the only one
		slices.Reverse(copies)
	}
	for _, write := range copies {
		if err := write(i.device); err != nil {
			return err
		}
		if err := i.sync(); err != nil {
			return err
		}
	}
	return nil
}

// start writes sector 0 in one write.
func (i *Installation) start(context.Context) error {
	mbr := make(sector, i.device.Sector())
	core, _ := i.table.Partition(layout.PartBIOS)
	err := errors.Join(writeSome(mbr, i.plan.loader.BootCode(core.First), 0), i.table.WriteProtectiveMBR(mbr))
	if err != nil {
		return err
	}
	if _, err := i.device.WriteAt(mbr, 0); err != nil {
		return fmt.Errorf("writing sector 0: %w", err)
	}
	return i.sync()
}

func (i *Installation) sync() error {
	if err := i.device.Sync(); err != nil {
		return fmt.Errorf("putting what was written on the medium: %w", err)
	}
	return nil
}

// partitions returns the regions that are partitions.
func (p *plan) partitions() []*region { return p.regions[1 : len(p.regions)-1] }

// partitions returns the regions that are written.
func (i *Installation) partitions() []*region {
	all := i.plan.partitions()
	if !i.keep {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(r *region) bool { return isData(r.name) })
}

// toWrite estimates the bytes that write writes.
func (i *Installation) toWrite() int64 {
	n := i.plan.estimate()
	for _, r := range i.partitions() {
		if r.sparse {
			n += r.end - r.start
		}
	}
	return n
}
