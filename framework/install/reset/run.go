// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// An Installation is what a reset works on.
type Installation struct {
	Disk  Disk
	Store slot.Store
	Root  tree.Root // holds /oem
	Log   *slog.Logger
	Now   time.Time
	UUID  [16]byte // of the new persistent file system, never used before
}

// A Disk opens partitions by their GPT names.
type Disk interface {
	// Open opens a partition for reading.
	Open(name string) (Device, error)
	// Claim opens a partition for reading and writing. It fails while the partition
	// is in use.
	Claim(name string) (Device, error)
}

// A Device is an open partition. After Sync, the written data is on the medium, and
// ReadAt reads it from there.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// A run is a running reset.
type run struct {
	Plan
	Installation
	root  Device // of recovery
	boots map[layout.Slot]*fat32.Relabeled
	open  map[string]Device
}

// Run carries out the reset. After an error the node boots as in the package comment,
// and the reset can be run again.
func (p Plan) Run(ctx context.Context, n Installation) (err error) {
	r := &run{Plan: p, Installation: n, boots: map[layout.Slot]*fat32.Relabeled{}, open: map[string]Device{}}
	defer func() { err = errors.Join(err, r.close()) }()
	for i, s := range r.steps() {
		n.Log.Info(s.name)
		err := s.run(ctx)
		switch {
		case err != nil && i == 0:
			return err // nothing was written
		case err != nil:
			return fmt.Errorf("%s: %w; the reset is half done: run `kairos-agent reset --yes` again, in recovery", s.name, err)
		}
	}
	return nil
}

type step struct {
	name string
	run  func(context.Context) error
}

// steps returns the steps in the table of the package comment.
func (r *run) steps() []step {
	return []step{
		{"reading the recovery slot to its end", r.check},
		{"asking for one more boot of recovery", r.request},
		{"noting on the oem partition that a reset has begun", r.mark},
		{"making slots a and b unbootable", r.unboot},
		{"noting that a and b are being written", r.state(slot.State{Good: layout.SlotA, Bad: layout.SlotB, Next: layout.ModeRecovery})},
		{"copying the root image", r.copyRoots},
		{"copying the boot partition", r.copyBoots},
		{"clearing the oem partition", r.clearOEM},
		{"asking for a new persistent file system", r.askToWipe},
		{"making slots b and a bootable", r.copyHeads},
		{"noting that slot a is good", r.state(slot.Initial())},
		{"removing the note", r.unmark},
	}
}

// check opens the partitions that will be written and reads what will be copied.
func (r *run) check(ctx context.Context) error {
	var err error
	if r.root, err = r.opened(layout.SlotRecovery.Root(), r.Disk.Open); err != nil {
		return err
	}
	boot, err := r.opened(layout.SlotRecovery.Boot(), r.Disk.Open)
	if err != nil {
		return err
	}
	for _, t := range r.Targets {
		if err := r.checkTarget(ctx, t, boot); err != nil {
			return err
		}
	}
	if err := verity.Verify(ctx, r.root, r.Tree); err != nil {
		return fmt.Errorf("recovery is damaged, and nothing was written; install the node again: %w", err)
	}
	return r.takeOver()
}

// checkTarget opens the partitions of t and reads what its boot partition will get.
func (r *run) checkTarget(ctx context.Context, t Target, boot io.ReaderAt) error {
	for _, name := range []string{t.Slot.Root(), t.Slot.Boot()} {
		if _, err := r.opened(name, r.Disk.Claim); err != nil {
			return err
		}
	}
	source, err := fat32.Relabel(boot, t.Label, t.VolumeID)
	if err == nil {
		err = eachChunk(ctx, source, 0, source.Size, func([]byte, int64) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("the boot partition of recovery is damaged, and nothing was written; install the node again: %w", err)
	}
	r.boots[t.Slot] = source
	return nil
}

func (r *run) opened(name string, open func(string) (Device, error)) (Device, error) {
	d, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("opening partition %s: %w", name, err)
	}
	r.open[name] = d
	return d, nil
}

func (r *run) close() error {
	var errs []error
	for _, d := range r.open {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// request selects recovery for the next boot. It also marks recovery as not bad: check
// has just read it to its end.
func (r *run) request(context.Context) error {
	_, err := r.Store.Update(func(s slot.State) (slot.State, error) {
		return s.ArmRecovery().Select(layout.ModeRecovery)
	})
	return err
}

// state replaces the boot loader's state.
func (r *run) state(s slot.State) func(context.Context) error {
	return func(context.Context) error {
		_, err := r.Store.Update(func(slot.State) (slot.State, error) { return s, nil })
		return err
	}
}

// unboot makes the boot partitions of a and b unreadable for the boot loader.
func (r *run) unboot(context.Context) error {
	for _, t := range r.Targets {
		if err := writeSynced(r.open[t.Slot.Boot()], make([]byte, fat32.SectorSize), 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) copyRoots(ctx context.Context) error {
	for _, t := range r.Targets {
		d := r.open[t.Slot.Root()]
		if err := copyRange(ctx, d, r.root, 0, r.Tree.Size); err != nil {
			return fmt.Errorf("%s: %w", t.Slot.Root(), err)
		}
		if err := verity.Verify(ctx, d, r.Tree); err != nil {
			return fmt.Errorf("%s does not hold what was written to it: the disk is failing: %w", t.Slot.Root(), err)
		}
	}
	return nil
}

func (r *run) copyBoots(ctx context.Context) error {
	for _, t := range r.Targets {
		if err := r.copyBoot(ctx, t, fat32.SectorSize, r.boots[t.Slot].Size); err != nil {
			return err
		}
	}
	return nil
}

// copyHeads writes the first sectors, by which a boot loader recognizes a file system. The
// good slot's comes last, so that the other slot is whole when the good one boots.
func (r *run) copyHeads(ctx context.Context) error {
	for i := range r.Targets {
		if err := r.copyBoot(ctx, r.Targets[len(r.Targets)-1-i], 0, fat32.SectorSize); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) copyBoot(ctx context.Context, t Target, from, to int64) error {
	d, source := r.open[t.Slot.Boot()], r.boots[t.Slot]
	if err := copyRange(ctx, d, source, from, to); err != nil {
		return fmt.Errorf("%s: %w", t.Slot.Boot(), err)
	}
	if err := compareRange(ctx, d, source, from, to); err != nil {
		return fmt.Errorf("%s: %w", t.Slot.Boot(), err)
	}
	return nil
}
