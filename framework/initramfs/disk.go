// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// disk is the disk that the boot loader came from.
type disk struct {
	blockdev.Disk
	paths map[string]string // device of each partition, by GPT name
}

// A candidate is a disk that may be the one that was booted.
type candidate struct {
	blockdev.Disk
	table *gpt.Table
	seen  []gpt.Partition // as a boot loader that checks nothing sees them
	err   error           // why it has no table
}

// copyWait is how long a better match may take to appear: a USB stick comes seconds
// after a fixed disk.
const copyWait = 10 * time.Second

// pollInterval is how often findDisk looks at the disks when no event comes.
const pollInterval = 500 * time.Millisecond

// findDisk waits for the disk with the EFI partition that the boot loader came
// from, and for its partitions. It loads drivers for devices that appear meanwhile,
// and ignores the names of partitions on other disks.
func (b *boot) findDisk() (err error) {
	changes, err := blockdev.WatchChanges()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	begin := sinceKernelStart()
	for deadline := begin + b.args.DiskWait; ; {
		loaded, err := b.loadDrivers()
		if err != nil {
			return err
		}
		candidates, err := b.lookAtDisks()
		if err != nil {
			return err
		}
		now := sinceKernelStart()
		late := now > deadline
		if ready, err := b.chooseDisk(candidates, late, late || now-begin > copyWait); ready || err != nil {
			return err
		}
		if late {
			return errors.New(noDisk(b.args, candidates))
		}
		if loaded {
			continue
		}
		if err := changes.Wait(min(pollInterval, deadline-sinceKernelStart()+time.Millisecond)); err != nil {
			return err
		}
	}
}

func (b *boot) lookAtDisks() ([]candidate, error) {
	disks, err := blockdev.Disks(b.sysfs)
	if err != nil {
		return nil, err
	}
	list := make([]candidate, len(disks))
	for i, d := range disks {
		list[i].Disk = d
		list[i].read()
	}
	return list, nil
}

// read reads the candidate's partition tables.
func (c *candidate) read() {
	f, err := os.Open(c.Path)
	if err != nil {
		c.err = err
		return
	}
	c.look(f)
	c.err = errors.Join(c.err, f.Close())
}

func (c *candidate) look(r io.ReaderAt) {
	c.table, c.err = gpt.Read(r, c.Size)
	c.seen, _ = gpt.ReadUnchecked(r, c.Size) // no partitions after an error
}

// matching returns the candidates that hold the EFI partition id, in their order
// and each disk once.
func matching(candidates []candidate, id gpt.GUID) []candidate {
	var list []candidate
	for _, c := range candidates {
		again := slices.ContainsFunc(list, func(l candidate) bool { return c.Same(l.Disk) })
		if c.holds(id) && !again {
			list = append(list, c)
		}
	}
	return list
}

// holds says whether the disk has the partition id, in its table or in the table as
// the boot loader reads it. The two differ after a power cut during a change of the
// GUIDs.
func (c candidate) holds(id gpt.GUID) bool {
	is := func(p gpt.Partition) bool { return p.ID == id }
	return c.table != nil && (slices.ContainsFunc(c.table.Partitions, is) || slices.ContainsFunc(c.seen, is))
}

// chooseDisk takes the disk that was booted once the kernel knows all its
// partitions; when it is late, the root partition is enough.
func (b *boot) chooseDisk(candidates []candidate, late, settled bool) (ready bool, err error) {
	var list []match
	for _, c := range matching(candidates, b.args.Disk) {
		list = append(list, examine(c, b.args, b.readSlots))
	}
	m, err := decide(list, b.args, late, settled)
	if err != nil {
		return false, err
	}
	if m == nil {
		b.sayWaiting(list)
		return false, nil
	}
	c := m.candidate
	if c.table.PrimaryFault != nil {
		if err := b.repairTable(&c); err != nil {
			return false, err
		}
	}
	known, err := blockdev.Partitions(b.sysfs, c.Name)
	if err != nil {
		return false, err
	}
	paths, missing := partitionPaths(c.table, known)
	root := b.args.Slot.Root()
	if len(missing) > 0 && (!late || paths[root] == "") {
		return false, nil
	}
	if len(missing) > 0 {
		b.warn("the kernel does not show these partitions of %s: %s", c.Path, strings.Join(missing, ", "))
	}
	if paths[root] == "" {
		return false, fmt.Errorf("disk %s has the EFI partition %s but no partition named %s: its partition table is not one of ours", c.Path, b.args.Disk, root)
	}
	b.useDisk(c, paths)
	if m.envErr != nil && b.args.Env != nil {
		b.warn("the boot loader's record on %s cannot be read: %v", c.Path, m.envErr)
	}
	return true, nil
}

// sayWaiting logs once why a disk that is there is not taken.
func (b *boot) sayWaiting(list []match) {
	if len(list) == 0 || b.waiting {
		return
	}
	b.waiting = true
	for _, m := range list {
		why := "it does not hold what the boot loader has just written to its disk"
		if m.booted(b.args) {
			why = fmt.Sprintf("its %s is not the one on the kernel command line", b.args.Slot.Root())
		}
		b.info("%s has the EFI partition %s, but %s; waiting for another disk", m.Path, b.args.Disk, why)
	}
}

// partitionPaths maps the GPT names of a table to the kernel's device nodes, and
// lists the names without a node. Of two partitions with one name, the first in the
// table counts.
func partitionPaths(table *gpt.Table, known []blockdev.Partition) (paths map[string]string, missing []string) {
	byNumber := map[int]string{}
	for _, p := range known {
		byNumber[p.Number] = p.Path
	}
	paths = map[string]string{}
	for _, p := range table.Partitions {
		switch path, taken := byNumber[p.Number], paths[p.Name]; {
		case path == "":
			missing = append(missing, p.Name)
		case taken == "":
			paths[p.Name] = path
		}
	}
	return paths, missing
}

func (b *boot) useDisk(c candidate, paths map[string]string) {
	b.disk, b.table = disk{Disk: c.Disk, paths: paths}, c.table
	b.describeDisk()
	b.info("booted from %s (%s, %s)", c.Path, describeSize(c.Size), describeModel(c.Model))
}

// describeDisk notes the disk and its table for the report.
func (b *boot) describeDisk() {
	b.state.Disk = thisboot.Disk{Device: b.disk.Path, GUID: b.table.DiskGUID.String(), Size: b.disk.Size, Model: b.disk.Model}
	b.state.Partitions = nil
	for _, p := range b.table.Partitions {
		if path := b.disk.paths[p.Name]; path != "" {
			b.state.Partitions = append(b.state.Partitions, thisboot.Partition{
				Number: p.Number, Name: p.Name, Device: path, PartUUID: p.ID.String(), Size: p.Size(),
			})
		}
	}
}

// repairTable writes the primary table again from the backup, and makes the kernel
// read it: the kernel looks only at the primary.
func (b *boot) repairTable(c *candidate) error {
	b.warn("the primary partition table of %s was damaged (%v) and has been written again from the backup", c.Path, c.table.PrimaryFault)
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(c.table.WritePrimary(f), f.Sync(), blockdev.Reread(f))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("repairing the partition table of %s: %w", c.Path, err)
	}
	c.table.PrimaryFault = nil
	return nil
}

func describeSize(n int64) string {
	if n >= 10*layout.GiB {
		return fmt.Sprintf("%d GiB", n/layout.GiB)
	}
	return fmt.Sprintf("%d MiB", n/layout.MiB)
}

func describeModel(model string) string {
	if model == "" {
		return "no model name"
	}
	return model
}
