// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/bootstate"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// disk is the disk that the boot loader came from.
type disk struct {
	blockdev.Disk
	paths map[string]string // device of each partition, by GPT name
}

// A candidate is a disk that was looked at.
type candidate struct {
	blockdev.Disk
	table *gpt.Table
	err   error // why it has no table
}

// pollInterval is how often the disks are looked at when no event comes.
const pollInterval = 500 * time.Millisecond

// findDisk waits for the disk that has the EFI partition the boot loader came
// from, and for its partitions. Drivers of devices that appear meanwhile are
// loaded. Names of partitions on other disks mean nothing.
func (b *boot) findDisk() (err error) {
	changes, err := blockdev.WatchChanges()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	for deadline := sinceKernelStart() + b.args.DiskWait; ; {
		loaded, err := b.loadDrivers()
		if err != nil {
			return err
		}
		candidates, err := b.lookAtDisks()
		if err != nil {
			return err
		}
		late := sinceKernelStart() > deadline
		if ready, err := b.chooseDisk(candidates, late); ready || err != nil {
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
	disks, err := blockdev.Disks(sysfs)
	if err != nil {
		return nil, err
	}
	list := make([]candidate, len(disks))
	for i, d := range disks {
		list[i].Disk = d
		list[i].table, list[i].err = readTable(d)
	}
	return list, nil
}

func readTable(d blockdev.Disk) (table *gpt.Table, err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return gpt.Read(f, d.Size)
}

// matching are the candidates that hold the EFI partition id, in their order.
func matching(candidates []candidate, id gpt.GUID) []candidate {
	var list []candidate
	for _, c := range candidates {
		if c.table == nil {
			continue
		}
		for _, p := range c.table.Partitions {
			if p.ID == id {
				list = append(list, c)
				break
			}
		}
	}
	return list
}

// chooseDisk takes the disk with the EFI partition once the kernel knows all
// its partitions; when it is late, those of the root suffice. Of several such
// disks, which are copies of each other, the first in the order of
// blockdev.Disks is taken: a fixed disk before a removable one, and then the
// same place in the machine at every boot.
func (b *boot) chooseDisk(candidates []candidate, late bool) (ready bool, err error) {
	matches := matching(candidates, b.args.Disk)
	if len(matches) == 0 {
		return false, nil
	}
	c := matches[0]
	if c.table.PrimaryFault != nil {
		if err := b.repairTable(&c); err != nil {
			return false, err
		}
	}
	known, err := blockdev.Partitions(sysfs, c.Name)
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
	b.warnOfCopies(candidates)
	return true, nil
}

// partitionPaths maps the GPT names of a table to the device nodes that the
// kernel has, and lists the names without one. Of two partitions with one name
// the lower number counts.
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
	b.state.Disk = bootstate.Disk{Device: c.Path, GUID: c.table.DiskGUID.String(), Size: c.Size, Model: c.Model}
	for _, p := range c.table.Partitions {
		if paths[p.Name] == "" {
			continue
		}
		b.state.Partitions = append(b.state.Partitions, bootstate.Partition{
			Number: p.Number, Name: p.Name, Device: paths[p.Name], PartUUID: p.ID.String(), Size: p.Size(),
		})
	}
	b.info("booted from %s (%s, %s)", c.Path, describeSize(c.Size), describeModel(c.Model))
}

// repairTable writes the primary table again from the backup, and has the
// kernel, which only looks at the primary, read it.
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

// warnOfCopies is loud about other disks that claim to be this one. It runs
// again before the system starts: a copy may have answered later.
func (b *boot) warnOfCopies(candidates []candidate) {
	var others []string
	for _, c := range matching(candidates, b.args.Disk) {
		if c.Name != b.disk.Name {
			others = append(others, c.Path)
		}
	}
	list := strings.Join(others, ", ")
	if len(others) == 0 || list == b.copies {
		return
	}
	b.copies = list
	b.warn("%s and %s have the same identity (EFI partition %s): one is a copy of the other. Using %s; remove the copy, or give it a new identity with `sgdisk --randomize-guids`",
		b.disk.Path, list, b.args.Disk, b.disk.Path)
}

// noDisk explains a search that ended without a disk.
func noDisk(a arguments, candidates []candidate) string {
	var s strings.Builder
	fmt.Fprintf(&s, "no disk with the EFI partition %s (%s on the kernel command line) appeared within %v.\n", a.Disk, layout.ArgDisk, a.DiskWait)
	if len(candidates) == 0 {
		s.WriteString("No disk at all was found: the disk is not connected, or the initrd lacks the driver of its controller.")
		return s.String()
	}
	s.WriteString("Disks that were found:\n")
	for _, c := range candidates {
		fmt.Fprintf(&s, "  %s (%s, %s): %s\n", c.Path, describeSize(c.Size), describeModel(c.Model), c.verdict(a))
	}
	fmt.Fprintf(&s, "Connect the disk that the machine was started from; %s=SECONDS waits longer for a slow one.", argDiskWait)
	return s.String()
}

func (c candidate) verdict(a arguments) string {
	switch {
	case errors.Is(c.err, gpt.ErrNoTable):
		return "no GUID partition table"
	case c.err != nil:
		return c.err.Error()
	case len(matching([]candidate{c}, a.Disk)) == 0:
		return "another system's disk"
	}
	return fmt.Sprintf("the right disk, but without partition %s", a.Slot.Root())
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
