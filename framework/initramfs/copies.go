// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A match is a candidate with the EFI partition that the machine was started from.
// The other fields tell it from its copies.
type match struct {
	candidate
	env     slot.State // the boot loader's state there
	envErr  error      // why the state cannot be read
	rootErr error      // why the slot's root is not the one on the command line
}

var errNoPartition = errors.New("there is no partition of that name")

// examine reads the state and the slot's root on a matching disk. It works before
// the kernel knows the partitions.
func examine(c candidate, a arguments, read readSlots) match {
	m := match{candidate: c}
	f, err := os.Open(c.Path)
	if err != nil {
		m.envErr, m.rootErr = err, err
		return m
	}
	section := func(name string) (*io.SectionReader, error) {
		p, ok := c.table.Partition(name)
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, errNoPartition)
		}
		return io.NewSectionReader(f, p.Offset(), p.Size()), nil
	}
	esp, err := section(layout.PartEFI)
	if err == nil {
		m.env, err = read(esp, esp.Size())
	}
	m.envErr = err
	root, err := section(a.Slot.Root())
	if err == nil {
		_, err = checkRoot(root, a)
	}
	m.rootErr = errors.Join(err, f.Close())
	return m
}

// booted says whether the state on m is as the boot loader left it. If the boot
// loader gave no state, every disk counts as booted.
func (m match) booted(a arguments) bool {
	return a.Env == nil || m.envErr == nil && m.env == *a.Env
}

// decide finds the disk that the machine was started from among those with its EFI
// partition: the state on it is as the boot loader left it. If several have that
// state, it takes the one that holds the slot's root. nil means to wait: until
// settled for a better match, and until late for any match.
//
// Each boot by the first entry of the menu changes the state. So where nothing
// tells two copies apart at this boot, the next boot does.
func decide(list []match, a arguments, late, settled bool) (*match, error) {
	var booted, whole, unknown []match
	for _, m := range list {
		switch {
		case a.Env != nil && m.envErr != nil:
			unknown = append(unknown, m)
		case m.booted(a) && m.rootErr == nil:
			whole = append(whole, m)
			booted = append(booted, m)
		case m.booted(a):
			booted = append(booted, m)
		}
	}
	switch {
	case len(whole) == 1:
		return &whole[0], nil
	case len(whole) > 1:
		return nil, errors.New(tied(whole, a))
	case !settled || len(booted)+len(unknown) == 0 && !late:
		return nil, nil
	case len(booted) == 1: // its slot is damaged: a later step reports it
		return &booted[0], nil
	case len(booted) > 1:
		return nil, errors.New(tied(booted, a))
	case len(unknown) == 1:
		return &unknown[0], nil
	case len(unknown) > 1:
		return nil, errors.New(tied(unknown, a))
	case len(list) > 0:
		return nil, errors.New(notBooted(list, a))
	}
	return nil, nil
}

// tied explains that one of several disks was booted and nothing tells which.
func tied(list []match, a arguments) string {
	var s strings.Builder
	fmt.Fprintf(&s, "the machine was started from one of these disks, which are copies of each other, and nothing tells which (EFI partition %s):\n", a.Disk)
	for _, m := range list {
		fmt.Fprintf(&s, "  %s (%s, %s)\n", m.Path, describeSize(m.Size), describeModel(m.Model))
	}
	s.WriteString("None of them is started: it could be the wrong one. Disconnect all but one.")
	if a.Env != nil {
		s.WriteString("\nOr wait: the boot loader counts each start of the menu's first entry on the disk that it comes from, so the next one tells them apart.")
	}
	return s.String()
}

// notBooted explains that the disks with the right EFI partition were not booted,
// or do not keep what is written to them.
func notBooted(list []match, a arguments) string {
	var s strings.Builder
	fmt.Fprintf(&s, "the disk that the machine was started from did not appear within %v. These have the same EFI partition, %s, but not what the boot loader has just written to its own:\n", a.DiskWait, a.Disk)
	for _, m := range list {
		fmt.Fprintf(&s, "  %s (%s, %s)\n", m.Path, describeSize(m.Size), describeModel(m.Model))
	}
	fmt.Fprintf(&s, "They are copies of it, and none is started. Either the initrd lacks the driver of the disk that was booted, or this is that disk and it does not keep what is written to it: then replace it. %s=SECONDS waits longer for a slow one.", argDiskWait)
	return s.String()
}

// identity returns the GUID of the EFI partition, by which the boot loader names a
// disk.
func identity(t *gpt.Table) gpt.GUID {
	p, _ := t.Partition(layout.PartEFI)
	return p.ID
}

// checkCopies looks once more for disks with the identity of this one before the
// system starts, since a disk may have answered late. The boot ends with an error
// if another disk may as well be the one that was booted.
func (b *boot) checkCopies(candidates []candidate) error {
	var others []match
	for _, c := range matching(candidates, b.args.Disk) {
		if !c.Same(b.disk.Disk) {
			others = append(others, examine(c, b.args, b.readSlots))
		}
	}
	for _, m := range others {
		if m.envErr == nil && m.booted(b.args) && m.rootErr == nil {
			return errors.New(tied([]match{{candidate: candidate{Disk: b.disk.Disk}}, m}, b.args))
		}
	}
	b.warnOfCopies(others)
	return nil
}

// warnOfCopies warns of copies of this disk. Other disks from the same image are no
// copies any more once this disk has got its own identity.
func (b *boot) warnOfCopies(others []match) {
	var paths []string
	for _, m := range others {
		paths = append(paths, m.Path)
	}
	list := strings.Join(paths, ", ")
	if len(others) == 0 || b.personal || list == b.copies {
		return
	}
	b.copies = list
	efi, _ := b.table.Partition(layout.PartEFI)
	b.warn("%s and %s have the same identity (EFI partition %s): one is a copy of the other. This is %s, which was booted; remove the copy, or give it an identity of its own with `sfdisk --part-uuid %s %d $(cat /proc/sys/kernel/random/uuid)`",
		b.disk.Path, list, b.args.Disk, b.disk.Path, others[0].Path, efi.Number)
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
