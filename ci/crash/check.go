// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

var errNoPartition = errors.New("there is no such partition")

// A Problem says what is wrong with a disk.
type Problem struct {
	Part string // "partition table", "bios", "efi", "environment", "slots", "oem" or "persistent"
	Err  error
}

func (p *Problem) Error() string { return p.Part + ": " + p.Err.Error() }

// Unwrap returns the reason.
func (p *Problem) Unwrap() error { return p.Err }

// A Checker checks what must hold for each disk, whenever the power cut came. "Old"
// and "new" mean the disk before and after the recording:
//
//   - The boot code and the partitions are each the old or the new ones, and the
//     primary table is whole. While a recording grows the last partition, the
//     primary table may be torn if the backup is whole and GRUB, which checks no
//     CRC, finds all other partitions.
//   - GRUB's core image that the boot code starts, and each file of the EFI
//     partition, are the old or the new ones. Files staged for an update are not
//     checked.
//   - The environment block is whole, and package slot knows its state.
//   - Every slot whose condition is not bad is whole: the good one, the one on
//     trial (it was read back before it was armed), the old one (rollback goes to
//     it) and recovery. Whole means that kernel, initrd and command line belong to
//     one known image, and that every block of the root image matches the tree
//     under the command line's root hash.
//   - The boot loader, started again and again while no slot is marked good,
//     always finds a slot that starts, and settles on the good one. After a second
//     power cut in any of its own writes, the block holds the old or the new state.
//   - A settled disk lasts: through many boots that all come up, and that the
//     agent's own code records, GRUB keeps booting the good slot.
//   - After a torn superblock is mended and the journal is replayed, the file
//     systems of oem and persistent have correct checksums.
//
// It remembers answers by the identity of the data, is safe for concurrent use, and
// belongs to one timeline.
type Checker struct {
	// Fsck checks file systems with e2fsck. If it is nil, the quick check decides.
	Fsck *Fsck

	known known
	data  map[string]bool // partitions with a file system to check

	tables memo[tableID, result[*gpt.Table]]
	cores  memo[Identity, error]
	efis   memo[Identity, result[environment]]
	boots  memo[Identity, result[bootImage]]
	roots  memo[rootID, error]
	ext4s  memo[Identity, error]

	mended atomic.Int64 // file systems with a torn superblock that a node would mend
}

// A Disk is a good raw disk, a source of known images.
type Disk struct {
	io.ReaderAt
	Size int64 // bytes
}

// NewChecker makes a Checker that knows the timeline's disk before the first write and
// after the last. It takes the slots' images from the disk before and from images.
// Without images it also trusts the disk after; a kernel that the medium lost silently
// then counts as known. (A lost block of the root image does not: the root hash shows
// it.)
func NewChecker(t *Timeline, images ...Disk) (*Checker, error) {
	c := &Checker{known: newKnown(), data: map[string]bool{}}
	before, after := t.View(State{}), t.End()
	for _, v := range []*View{before, after} {
		if err := c.known.learn(v, t.Size); err != nil {
			return nil, fmt.Errorf("looking at the disk of %s: %w", v.state, err)
		}
	}
	from := append([]Disk{{before, t.Size}}, images...)
	if len(images) == 0 {
		from = append(from, Disk{after, t.Size})
	}
	for _, d := range from {
		if err := c.known.learnImages(d, d.Size); err != nil {
			return nil, fmt.Errorf("looking for images of slots: %w", err)
		}
	}
	return c, c.findData(before)
}

// Check returns the first *Problem, or nil. It wraps errors of reading in a *Problem
// too.
func (c *Checker) Check(ctx context.Context, v *View) error {
	table, err := c.readTable(v)
	if err != nil {
		return &Problem{"partition table", err}
	}
	if err := c.checkCore(v, table); err != nil {
		return &Problem{layout.PartBIOS, err}
	}
	env, err := c.readEFI(v, table)
	if err != nil {
		return err
	}
	if err := c.checkSlots(ctx, v, table, env); err != nil {
		return &Problem{"slots", err}
	}
	return c.checkData(ctx, v, table)
}

// checkCore checks the GRUB core image that the boot code starts. A disk for UEFI alone
// has none. The other half of the partition may be in the middle of an update.
func (c *Checker) checkCore(v *View, t *gpt.Table) error {
	p, ok := t.Partition(layout.PartBIOS)
	if !ok {
		return nil
	}
	mbr := make([]byte, SectorSize)
	if _, err := v.ReadAt(mbr, 0); err != nil {
		return err
	}
	core := activeCore(v, mbr, p)
	_, off, size := core.Outer()
	return c.cores.get(v.Identity(off, size), func() error {
		sum, err := hashAll(core)
		if err == nil && !c.known.core[sum] {
			err = errors.New("its contents are neither those of before nor those of after")
		}
		return err
	})
}

// readEFI checks the EFI partition and reads the environment block.
func (c *Checker) readEFI(v *View, t *gpt.Table) (environment, error) {
	p, ok := t.Partition(layout.PartEFI)
	if !ok {
		return environment{}, &Problem{layout.PartEFI, errNoPartition}
	}
	sec := v.section(p)
	r := c.efis.get(sec.id, func() result[environment] { return resultOf(c.openEFI(sec)) })
	return r.value, r.err
}

func (c *Checker) openEFI(s section) (environment, error) {
	f, err := openFAT(s, s.Size())
	if err != nil {
		return environment{}, &Problem{layout.PartEFI, err}
	}
	files, err := f.files()
	if err == nil {
		err = c.known.checkEFI(f, files)
	}
	if err != nil {
		return environment{}, &Problem{layout.PartEFI, err}
	}
	env, err := readEnvironment(f, files)
	if err != nil {
		return env, &Problem{"environment", err}
	}
	return env, nil
}

func (c *Checker) checkSlots(ctx context.Context, v *View, t *gpt.Table, env environment) error {
	for _, s := range layout.Slots() {
		if env.state.Condition(s) == slot.Bad {
			continue
		}
		if err := c.checkSlot(ctx, v, t, s); err != nil {
			return fmt.Errorf("the environment says that it is %s: %w", env.state.Condition(s), err)
		}
	}
	starts := func(s layout.Slot) error { return c.checkSlot(ctx, v, t, s) }
	if err := env.checkBoots(starts); err != nil {
		return err
	}
	return env.checkLife(starts)
}

// findData finds the data partitions with a file system that can be checked. An
// encrypted partition has none.
func (c *Checker) findData(before *View) error {
	table, err := c.readTable(before)
	if err != nil {
		return err
	}
	for _, name := range dataPartitions() {
		if p, ok := table.Partition(name); ok {
			c.data[name] = isExt4(before.section(p))
		}
	}
	return nil
}

func dataPartitions() []string { return []string{layout.PartOEM, layout.PartPersistent} }

func (c *Checker) checkData(ctx context.Context, v *View, t *gpt.Table) error {
	for _, name := range dataPartitions() {
		p, ok := t.Partition(name)
		if !ok || !c.data[name] {
			continue
		}
		sec := v.section(p)
		if err := c.ext4s.get(sec.id, func() error { return c.checkExt4(ctx, sec) }); err != nil {
			return &Problem{name, err}
		}
	}
	return nil
}

// Distinct counts the different contents that were checked, by kind.
func (c *Checker) Distinct() map[string]int {
	return map[string]int{
		"partition tables": c.tables.size(),
		"EFI partitions":   c.efis.size(),
		"boot partitions":  c.boots.size(),
		"root images":      c.roots.size(),
		"file systems":     c.ext4s.size(),
	}
}
