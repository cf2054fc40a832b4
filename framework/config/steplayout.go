// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// DiskLayout has the partitions that are to be on a disk. Existing partitions are
// never removed, moved or made smaller.
type DiskLayout struct {
	Origin Position
	// Label is the label of a file system on the disk. Path is the device of the
	// disk or of one of its partitions. One of them is given; Label comes first.
	Label, Path Text
	// Init makes a partition table on an empty disk.
	Init bool
	// DiskName is what the GUID of a new partition table is made from.
	DiskName string
	// Expand is the new size in MiB of the last partition and its file system;
	// 0: to the end of the disk; nil: not given.
	Expand *int
	Add    []NewPartition
}

// NewPartition is a partition that is added, unless the disk has one with its name or
// file system label.
type NewPartition struct {
	Origin     Position
	Name       string // GPT name, at most 36 characters; default Label
	Label      string // of the file system
	Size       int    // MiB; 0 is all that is left
	FileSystem string // ext4 (the default), ext3, ext2, vfat, xfs, btrfs or swap
	Bootable   bool   // an EFI system partition
}

// ScriptDevice begins a device that a program names. The program and its arguments
// follow; it prints the path of the device.
const ScriptDevice = "script://"

var layoutFields = []field[DiskLayout]{
	{name: "device", decode: func(v value, l *DiskLayout) { decodeMap(v, layoutDeviceFields, l) }},
	{name: "expand_partition", decode: func(v value, l *DiskLayout) { v.expand(l) }},
	{name: "add_partitions", decode: func(v value, l *DiskLayout) { v.newPartitions(l) }},
}

var layoutDeviceFields = []field[DiskLayout]{
	{name: "label", decode: func(v value, l *DiskLayout) {
		set(v, &l.Label, func(v value) (Text, bool) { return v.checked(value.fsLabel) })
	}},
	{name: "path", decode: func(v value, l *DiskLayout) { set(v, &l.Path, value.devicePath) }},
	{name: "init_disk", decode: func(v value, l *DiskLayout) { set(v, &l.Init, value.Boolean) }},
	{name: "disk_name", decode: func(v value, l *DiskLayout) { set(v, &l.DiskName, value.NonEmpty) }},
}

// devicePath is a path, or script:// and a program that prints one.
func (v value) devicePath() (Text, bool) {
	return v.checked(func(v value) (string, bool) {
		program, isScript := strings.CutPrefix(v.Node.Value, ScriptDevice)
		if !isScript || !v.IsText() {
			return v.absolute()
		}
		if words := strings.Fields(program); len(words) == 0 || !strings.HasPrefix(words[0], "/") {
			v.Fail("no program is named by its path", "write it such as script:///usr/local/bin/pick-disk small")
			return "", false
		}
		return v.Node.Value, v.oneLine(v.Node.Value)
	})
}

func decodeLayout(v value, s *Step) {
	l := &DiskLayout{Origin: v.Position()}
	pairs := decodeMap(v, layoutFields, l)
	if !v.requires(pairs, "device") {
		return
	}
	device := keyOf(pairs, "device")
	switch {
	case device.failed():
		return // its error is reported already
	case l.Label.IsZero() && l.Path.IsZero():
		v.Fail("it is not said which disk", "name it by a label or by a path, such as device: {path: /dev/vdb}")
	case l.Init && !l.Label.IsZero():
		v.Fail("a disk without a partition table has no label", "name it by device.path alone")
	default:
		l.expandsLast()
		s.Layout = l
	}
}

// expandsLast: as in Kairos, partitions are added first, and then the last of them
// takes the rest of the disk.
func (l *DiskLayout) expandsLast() {
	if l.Expand != nil && *l.Expand == 0 && len(l.Add) > 0 {
		l.Expand = nil
		l.Add[len(l.Add)-1].Size = 0
	}
}

func keyOf(pairs []pair, name string) value {
	i := slices.IndexFunc(pairs, func(p pair) bool { return p.name == name })
	return pairs[i].value
}

// failed tells whether an error below v was reported.
func (v value) failed() bool {
	return slices.ContainsFunc(v.d.Problems, func(p Problem) bool {
		return p.Severity == Error && strings.HasPrefix(p.Path, v.Path)
	})
}

// fsLabel is the label of a file system. vfat allows less, see newPartitions.
func (v value) fsLabel() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && !fsLabel.MatchString(s) {
		v.Fail(fmt.Sprintf("%q cannot be a label", strict.Printable(s)), "use letters, digits, _, - and ., at most 16 characters")
		return "", false
	}
	return s, ok
}

var (
	fsLabel       = lazyregexp.New(`^[A-Za-z0-9_.-]{1,16}$`)
	partitionName = lazyregexp.New(`^[A-Za-z0-9_. -]{1,36}$`)
)

var expandFields = []field[int]{{name: "size", decode: func(v value, n *int) { set(v, n, value.mebibytes) }}}

func (v value) expand(l *DiskLayout) {
	size := 0
	decodeMap(v, expandFields, &size)
	l.Expand = &size
}

// mebibytes is a size in MiB, up to 1 PiB.
func (v value) mebibytes() (int, bool) {
	n, ok := v.Integer()
	if ok && (n < 0 || n > 1<<30) {
		v.Fail(fmt.Sprintf("%d MiB are out of range", n), "give a number of MiB, or 0 for all that is left")
		return 0, false
	}
	return n, ok
}

var newPartitionFields = []field[NewPartition]{
	{name: "fsLabel", decode: func(v value, p *NewPartition) { set(v, &p.Label, value.fsLabel) }},
	{name: "pLabel", decode: func(v value, p *NewPartition) { set(v, &p.Name, value.partitionName) }},
	{name: "size", decode: func(v value, p *NewPartition) { set(v, &p.Size, value.mebibytes) }},
	{name: "filesystem", decode: func(v value, p *NewPartition) { set(v, &p.FileSystem, value.fileSystem) }},
	{name: "bootable", decode: func(v value, p *NewPartition) { set(v, &p.Bootable, value.Boolean) }},
}

func (v value) newPartitions(l *DiskLayout) {
	items := v.list("partitions")
	for i, item := range items {
		p := NewPartition{Origin: item.Position(), FileSystem: "ext4"}
		decodeMap(item, newPartitionFields, &p)
		p.Name = orDefault(p.Name, p.Label)
		switch {
		case p.Name == "":
			item.Fail("the partition has no name, so it would be added at every boot", "add \"fsLabel:\" or \"pLabel:\"")
		case p.FileSystem == "vfat" && len(p.Label) > 11:
			item.Fail(fmt.Sprintf("the label %q is too long for vfat", p.Label), "use at most 11 characters")
		case p.Size == 0 && i < len(items)-1:
			item.Fail("a partition without a size takes all that is left, and others follow", "give it a size, or put it last")
		case slices.ContainsFunc(l.Add, func(o NewPartition) bool { return o.Name == p.Name }):
			item.Fail(fmt.Sprintf("the partition %q is listed twice", p.Name), "remove one of them")
		default:
			l.Add = append(l.Add, p)
		}
	}
}

func (v value) partitionName() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && (!partitionName.MatchString(s) || strings.TrimSpace(s) != s) {
		v.Fail(fmt.Sprintf("%q cannot be the name of a partition", strict.Printable(s)), "use letters, digits, _, - and ., at most 36 characters")
		return "", false
	}
	return s, ok
}

// fileSystems are the file systems whose mkfs program a node may have.
var fileSystems = []string{"ext4", "ext3", "ext2", "vfat", "xfs", "btrfs", "swap"}

func (v value) fileSystem() (string, bool) {
	s, ok := v.NonEmpty()
	if ok && s == "fat32" || s == "fat" {
		s = "vfat"
	}
	if ok && !slices.Contains(fileSystems, s) {
		v.Fail(fmt.Sprintf("unknown file system %q", strict.Printable(s)), "use "+strings.Join(fileSystems, ", "))
		return "", false
	}
	return s, ok
}
