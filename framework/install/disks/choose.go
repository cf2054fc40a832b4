// SPDX-License-Identifier: Apache-2.0

package disks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// Auto is the name of a disk that is chosen.
const Auto = "auto"

// ErrNone says that no disk can be installed to.
var ErrNone = errors.New("no disk to install to")

// A Wish says which disk is wanted.
type Wish struct {
	Device string // Auto (the default), /dev/…, or a link to it
	Size   int64  // bytes that are needed
	For    string // what for, in words
	Force  bool   // erase whatever is on the disk
	Keep   bool   // only the system of an installed node is written: its data stay
}

// A Choice is a disk, and why it was chosen.
type Choice struct {
	Disk Disk
	Why  string
}

// Choose chooses a disk. The error names every disk and what speaks against it.
func Choose(all []Disk, w Wish, resolve func(string) (string, error)) (Choice, error) {
	if w.Device == "" || w.Device == Auto {
		return chooseAuto(all, w)
	}
	return chooseNamed(all, w, resolve)
}

func chooseAuto(all []Disk, w Wish) (Choice, error) {
	fixed := slices.ContainsFunc(all, func(d Disk) bool { return !d.Removable && d.Booted == "" })
	var fit []Disk
	var against []string
	for _, d := range all {
		reasons := d.Against(w)
		if d.Removable && fixed {
			reasons = append(reasons, fmt.Sprintf("it is removable, and the machine has fixed disks: to install to it, name it with --device %s", d.Path))
		}
		if len(reasons) == 0 {
			fit = append(fit, d)
			continue
		}
		against = append(against, d.String()+": "+strings.Join(reasons, "; "))
	}
	if len(fit) == 0 {
		return Choice{}, none(all, against)
	}
	safest, why := leastLoss(fit)
	best := safest[0]
	for _, d := range safest[1:] {
		if d.Size > best.Size {
			best = d
		}
	}
	return Choice{best, whyAuto(best, safest, all) + why}, nil
}

// leastLoss keeps the disks where the least is lost: an installed or interrupted node, which
// is installed anew, else an empty disk, else any. Without Wish.Force all are free.
func leastLoss(fit []Disk) (kept []Disk, why string) {
	for _, rank := range []struct {
		has func(Contents) bool
		why string
	}{
		{func(c Contents) bool { return c.Kairos }, "; it has a node already, which is installed anew"},
		{Contents.Free, "; it is empty, and others have data"},
	} {
		some := slices.DeleteFunc(slices.Clone(fit), func(d Disk) bool { return !rank.has(d.Contents) })
		switch {
		case len(some) == len(fit):
			return fit, ""
		case len(some) > 0:
			return some, rank.why
		}
	}
	return fit, ""
}

func whyAuto(best Disk, fit, all []Disk) string {
	switch {
	case len(all) == 1:
		return "the only disk of the machine"
	case len(fit) == 1:
		return fmt.Sprintf("the only suitable one of %d disks", len(all))
	case slices.ContainsFunc(fit, func(d Disk) bool { return d.Path != best.Path && d.Size == best.Size }):
		return fmt.Sprintf("the first of the largest of %d suitable disks", len(fit))
	}
	return fmt.Sprintf("the largest of %d suitable disks", len(fit))
}

func none(all []Disk, against []string) error {
	if len(all) == 0 {
		return fmt.Errorf("%w: the kernel sees no disk; is there one, and does the image have the driver of its controller?", ErrNone)
	}
	return fmt.Errorf("%w:\n  %s", ErrNone, strings.Join(against, "\n  "))
}

func chooseNamed(all []Disk, w Wish, resolve func(string) (string, error)) (Choice, error) {
	path, err := resolve(w.Device)
	if err != nil {
		return Choice{}, fmt.Errorf("%w: %w; the machine has %s", ErrNone, err, listed(all))
	}
	i := slices.IndexFunc(all, func(d Disk) bool { return d.Path == path })
	if i < 0 {
		return Choice{}, fmt.Errorf("%w: %s is no disk (a partition cannot be installed to); the machine has %s", ErrNone, w.Device, listed(all))
	}
	if reasons := all[i].Against(w); len(reasons) > 0 {
		return Choice{}, fmt.Errorf("%w: %s: %s", ErrNone, all[i], strings.Join(reasons, "; "))
	}
	return Choice{all[i], "it was named"}, nil
}

func listed(all []Disk) string {
	if len(all) == 0 {
		return "no disks"
	}
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = d.String()
	}
	return strings.Join(words, ", ")
}

// Against returns what speaks against installing to a disk, as sentences.
func (d Disk) Against(w Wish) []string {
	var all []string
	if d.Booted != "" {
		all = append(all, d.Booted)
	}
	all = append(all, d.Uses...)
	if d.ReadOnly {
		all = append(all, "it is read-only: does it have a switch, or is it worn out?")
	}
	all = append(all, d.againstSectors()...)
	if d.Size < w.Size {
		all = append(all, fmt.Sprintf("it is too small: it has %d MiB, and %d MiB are needed: %s", d.Size>>20, (w.Size-1)>>20+1, w.For))
	}
	if d.Unread != nil {
		all = append(all, fmt.Sprintf("it cannot be read: %v", d.Unread))
	}
	if w.Keep && (!d.Contents.Kairos || d.Contents.Interrupted) {
		all = append(all, fmt.Sprintf("it has %s, and no installed node whose data could be kept: install without --no-format", d.Contents))
	}
	if !w.Force && !w.Keep && !d.Contents.Free() {
		all = append(all, fmt.Sprintf("it has %s, which would be lost: to erase it, give --force (force: true in the config)", d.Contents))
	}
	return all
}

// againstSectors: a BIOS counts in sectors of 512 bytes, and so does GRUB's code that it
// starts.
func (d Disk) againstSectors() []string {
	switch {
	case d.Sector == gpt.SectorSize || d.Sector == gpt.LargeSector && !d.BIOS:
		return nil
	case d.Sector == gpt.LargeSector:
		return []string{fmt.Sprintf("its sectors have %d bytes, and a BIOS cannot start a machine from such a disk: set the firmware to UEFI, or give the disk sectors of %d bytes (some can, with `nvme format` or `sg_format`)", d.Sector, gpt.SectorSize)}
	}
	return []string{fmt.Sprintf("its sectors have %d bytes: a disk has %d or %d", d.Sector, gpt.SectorSize, gpt.LargeSector)}
}

// String describes a disk: /dev/sda (SAMSUNG MZ7, 480 GB, sata).
func (d Disk) String() string {
	words := []string{decimal(d.Size), d.Bus}
	if d.Model != "" {
		words = slices.Insert(words, 0, d.Model)
	}
	if d.Removable {
		words = append(words, "removable")
	}
	return fmt.Sprintf("%s (%s)", d.Path, strings.Join(words, ", "))
}

// decimal is a size as makers of disks print it.
func decimal(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}} {
		if n >= u.size {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.size)), ".0") + " " + u.name
		}
	}
	return fmt.Sprintf("%d MB", n/1e6)
}
