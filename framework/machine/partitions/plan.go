// SPDX-License-Identifier: Apache-2.0

package partitions

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A plan is the new partition table. It has all old partitions at their places; at
// most one of them is larger.
type plan struct {
	table *gpt.Table
	grown *gpt.Partition  // nil: none
	added []gpt.Partition // in the order of the config
}

// changes tells whether the table changes.
func (p plan) changes() bool { return p.grown != nil || len(p.added) > 0 }

const sectorsPerMiB = layout.MiB / gpt.SectorSize

// newPlan places the missing partitions of the config behind the existing ones. It
// writes nothing.
func newPlan(t *gpt.Table, sectors int64, l config.DiskLayout, missing []config.NewPartition) (plan, error) {
	if sectors < t.Sectors {
		return plan{}, fmt.Errorf("its partition table is for %d sectors and the disk has %d", t.Sectors, sectors)
	}
	p := plan{table: t.For(sectors)}
	end := p.table.UsableEnd() / sectorsPerMiB * sectorsPerMiB
	if l.Expand != nil {
		if err := p.expand(expandable(p.table, l.Add), int64(*l.Expand), end); err != nil {
			return plan{}, err
		}
	}
	for _, m := range missing {
		if err := p.add(m, end); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

// last is the index of the partition that ends last, or -1.
func (p plan) last() int {
	at := -1
	for i, x := range p.table.Partitions {
		if at < 0 || x.Last > p.table.Partitions[at].Last {
			at = i
		}
	}
	return at
}

// expandable is the index of the partition that expand_partition expands: the last
// partition that the config does not add itself; or -1.
func expandable(t *gpt.Table, add []config.NewPartition) int {
	at := -1
	for i, x := range t.Partitions {
		ours := slices.ContainsFunc(add, func(a config.NewPartition) bool { return a.Name == x.Name })
		if !ours && (at < 0 || x.Last > t.Partitions[at].Last) {
			at = i
		}
	}
	return at
}

// expand makes partition i size MiB large; size 0 extends it to the next partition
// or to end. A partition that is larger already stays unchanged.
func (p *plan) expand(i int, size, end int64) error {
	if i < 0 {
		return errors.New("there is no partition that could be expanded")
	}
	x := &p.table.Partitions[i]
	for _, other := range p.table.Partitions {
		if other.First > x.Last {
			end = min(end, other.First)
		}
	}
	want := end - 1
	if size > 0 {
		if want = x.First + size*sectorsPerMiB - 1; want > x.Last && want >= end {
			return fmt.Errorf("partition %d (%q) cannot have %d MiB: there is room for %d", x.Number, x.Name, size, (end-x.First)/sectorsPerMiB)
		}
	}
	if want > x.Last {
		x.Last = want
		grown := *x
		p.grown = &grown
	}
	return nil
}

// add puts a partition behind the last one.
func (p *plan) add(m config.NewPartition, end int64) error {
	first := sectorsPerMiB
	if i := p.last(); i >= 0 {
		first = (p.table.Partitions[i].Last + sectorsPerMiB) / sectorsPerMiB * sectorsPerMiB
	}
	next := first + int64(m.Size)*sectorsPerMiB
	if m.Size == 0 {
		next = end
	}
	if next > end || next-first < sectorsPerMiB {
		return fmt.Errorf("no room for partition %q of %s: %d MiB are free at the end of the disk", m.Name, words(m.Size), max(0, end-first)/sectorsPerMiB)
	}
	number := 1
	for slices.ContainsFunc(p.table.Partitions, func(x gpt.Partition) bool { return x.Number == number }) {
		number++
	}
	kind, err := gpt.ParseGUID(typeOf(m))
	if err != nil {
		return err
	}
	id := gpt.DeriveGUID(sha256.Sum256([]byte(p.table.DiskGUID.String() + "/" + m.Name)))
	x := gpt.Partition{Number: number, Type: kind, ID: id, First: first, Last: next - 1, Name: m.Name}
	p.table.Partitions = append(p.table.Partitions, x)
	slices.SortFunc(p.table.Partitions, func(a, b gpt.Partition) int { return cmp.Compare(a.Number, b.Number) })
	p.added = append(p.added, x)
	return nil
}

func words(size int) string {
	if size == 0 {
		return "any size"
	}
	return fmt.Sprintf("%d MiB", size)
}

const typeSwap = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"

func typeOf(m config.NewPartition) string {
	switch {
	case m.Bootable:
		return layout.TypeESP
	case m.FileSystem == "swap":
		return typeSwap
	}
	return layout.TypeLinux
}
