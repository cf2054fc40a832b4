// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/internal/powercut"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const (
	copyESP  = 36 * layout.MiB
	copyRoot = 4 * layout.MiB
	copySize = copyESP + copyRoot + 3*layout.MiB
)

func copyTable(t *testing.T) *gpt.Table {
	t.Helper()
	kind, err := gpt.ParseGUID(layout.TypeLinux)
	if err != nil {
		t.Fatal(err)
	}
	mib := layout.MiB / gpt.SectorSize
	efiEnd := mib + copyESP/gpt.SectorSize
	return &gpt.Table{Sectors: copySize / gpt.SectorSize, DiskGUID: gpt.DeriveGUID([32]byte{1}), Partitions: []gpt.Partition{
		{Number: 2, Type: kind, ID: gpt.DeriveGUID([32]byte{2}), First: mib, Last: efiEnd - 1, Name: layout.PartEFI},
		{Number: 4, Type: kind, ID: gpt.DeriveGUID([32]byte{4}), First: efiEnd, Last: efiEnd + copyRoot/gpt.SectorSize - 1, Name: "root-a"},
	}}
}

// A twin is one of several disks of an image, with the state in its environment
// block and the part of it that is broken.
type twin struct {
	path   string
	env    slot.State
	broken string // "root" or "env"
}

// makeTwins writes the disks, and returns them with the kernel arguments of a boot
// loader that left env.
func makeTwins(t *testing.T, env *slot.State, twins []twin) ([]match, arguments) {
	t.Helper()
	a := goodArguments(t)
	table := copyTable(t)
	a.Disk, a.Env = table.Partitions[0].ID, env
	var list []match
	for _, w := range twins {
		path := filepath.Join(t.TempDir(), filepath.Base(w.path))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		block, err := grubenv.Encode(w.env.Vars())
		if err != nil {
			t.Fatal(err)
		}
		if w.broken == "env" {
			block = []byte("nothing")
		}
		root := offset(f, table.Partitions[1])
		err = errors.Join(f.Truncate(copySize), table.Write(f), fat32.Write(offset(f, table.Partitions[0]), copyESP,
			[]fat32.File{{Path: "EFI/debian/" + bootconf.GRUBEnv, Data: block}}, fat32.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := verity.Write(t.Context(), root, 2*verity.BlockSize, verity.Params{})
		if err != nil {
			t.Fatal(err)
		}
		a.RootHash, a.HashOffset = tree.RootHash, tree.HashOffset
		if w.broken == "root" {
			if _, err := root.WriteAt(bytes.Repeat([]byte{0x5a}, 64<<10), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		c := candidate{Disk: blockdev.Disk{Name: filepath.Base(path), Path: path, Size: copySize}}
		if c.read(); c.err != nil || !c.holds(a.Disk) {
			t.Fatalf("%s: %v", path, c.err)
		}
		list = append(list, examine(c, a, bootenv.Read))
	}
	return list, a
}

func offset(f *os.File, p gpt.Partition) interface {
	io.ReaderAt
	io.WriterAt
} {
	return partFile{f, p.Offset()}
}

type partFile struct {
	f  *os.File
	at int64
}

func (p partFile) ReadAt(b []byte, off int64) (int, error)  { return p.f.ReadAt(b, p.at+off) }
func (p partFile) WriteAt(b []byte, off int64) (int, error) { return p.f.WriteAt(b, p.at+off) }

// TestDecide: the disk that was booted runs, or none.
func TestDecide(t *testing.T) {
	fresh, once, twice := slot.Initial(), slot.Initial(), slot.Initial()
	once.Unproven, twice.Unproven = 1, 2
	const wait, tie, none = "(wait)", "nothing tells which", "did not appear within"
	tests := []struct {
		name  string
		grub  *slot.State
		disks []twin
		// The result at once, after copyWait, and at the end: a disk, wait, or
		// words of an error.
		now, settled, late string
	}{
		{"one disk", &once, []twin{{"sda", once, ""}}, "sda", "sda", "sda"},
		{"a boot loader that says nothing", nil, []twin{{"sda", fresh, ""}}, "sda", "sda", "sda"},
		{"a stick beside a fixed disk that came first", &once, []twin{{"nvme", fresh, ""}, {"stick", once, ""}}, "stick", "stick", "stick"},
		{"the fixed disk beside a stick", &once, []twin{{"nvme", once, ""}, {"stick", fresh, ""}}, "nvme", "nvme", "nvme"},
		{"a stick that has not come yet", &once, []twin{{"nvme", fresh, ""}}, wait, wait, none},
		{"a stick beside a fixed disk with another root", &once, []twin{{"nvme", once, "root"}, {"stick", once, ""}}, "stick", "stick", "stick"},
		{"that stick has not come yet", &once, []twin{{"nvme", once, "root"}}, wait, "nvme", "nvme"},
		{"a damaged slot, no copies", &once, []twin{{"sda", once, "root"}}, wait, "sda", "sda"},
		{"a damaged slot beside a copy that is whole", &twice, []twin{{"sda", twice, "root"}, {"sdb", once, ""}}, wait, "sda", "sda"},
		{"a damaged slot beside a block that cannot be read", &once, []twin{{"sda", once, "root"}, {"sdb", fresh, "env"}}, wait, "sda", "sda"},
		{"two blocks that cannot be read", &once, []twin{{"sda", fresh, "env"}, {"sdb", fresh, "env"}}, wait, tie, tie},
		{"two that are the same", &once, []twin{{"sda", once, ""}, {"sdb", once, ""}}, tie, tie, tie},
		{"two that are the same and damaged", &once, []twin{{"sda", once, "root"}, {"sdb", once, "root"}}, wait, tie, tie},
		{"a boot loader that says nothing, two copies", nil, []twin{{"sda", fresh, ""}, {"sdb", once, ""}}, tie, tie, tie},
		{"a block that cannot be read", &fresh, []twin{{"sda", fresh, "env"}}, wait, "sda", "sda"},
		{"a block that cannot be read beside one that fits", &once, []twin{{"sda", fresh, "env"}, {"sdb", once, ""}}, "sdb", "sdb", "sdb"},
		{"no disk", &once, nil, wait, wait, wait},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, a := makeTwins(t, test.grub, test.disks)
			for _, step := range []struct {
				name          string
				late, settled bool
				want          string
			}{{"now", false, false, test.now}, {"settled", false, true, test.settled}, {"late", true, true, test.late}} {
				m, err := decide(list, a, step.late, step.settled)
				got := wait
				if m != nil {
					got = m.Name
				}
				if err != nil {
					got = err.Error()
				}
				if !strings.Contains(got, step.want) {
					t.Errorf("%s: got %s, want %s", step.name, got, step.want)
				}
			}
		})
	}
}

// TestLateCopy: a copy that answers after the disk was chosen ends the boot if it
// may as well be the disk that was booted. Another copy does not.
func TestLateCopy(t *testing.T) {
	once := slot.Initial()
	once.Unproven = 1
	list, a := makeTwins(t, &once, []twin{{"sda", once, ""}, {"sdb", once, ""}, {"sdc", slot.Initial(), ""}})
	b := &boot{log: slog.New(slog.DiscardHandler), args: a, table: list[0].table, personal: true, readSlots: bootenv.Read}
	b.disk.Disk = list[0].Disk
	if err := b.checkCopies([]candidate{list[0].candidate, list[2].candidate}); err != nil {
		t.Errorf("a copy that was not booted: %v", err)
	}
	err := b.checkCopies([]candidate{list[0].candidate, list[1].candidate})
	if err == nil || !strings.Contains(err.Error(), list[1].Path) || !strings.Contains(err.Error(), list[0].Path) {
		t.Errorf("got %v, want an error with both disks", err)
	}
}

// TestIdentitySurvivesPowerCuts: after a power cut at any moment while a disk gets
// its own identity, /init finds the disk by the GUID that GRUB gives. GRUB reads the
// first table and checks nothing.
func TestIdentitySurvivesPowerCuts(t *testing.T) {
	table := copyTable(t)
	image := make([]byte, copySize)
	if err := table.Write(bytesAt(image)); err != nil {
		t.Fatal(err)
	}
	next, states := table.Personal(), 0
	d := powercut.New(image)
	if err := gpt.Rewrite(wholeSectors{d}, next); err != nil {
		t.Fatal(err)
	}
	for name, state := range d.States(200, 1) {
		states++
		seen, err := gpt.ReadUnchecked(state, copySize)
		if err != nil {
			t.Fatalf("%s: GRUB finds no table: %v", name, err)
		}
		c := candidate{Disk: blockdev.Disk{Size: copySize}}
		if c.look(state); c.err != nil || !c.holds(seen[0].ID) {
			t.Errorf("%s: GRUB says EFI partition %s, and the disk is not known by that (%v)", name, seen[0].ID, c.err)
		}
		if seen[1].First != table.Partitions[1].First {
			t.Errorf("%s: GRUB finds root-a in sector %d", name, seen[1].First)
		}
	}
	if states < 200 {
		t.Errorf("only %d states", states)
	}
}

// wholeSectors extends writes to whole sectors, as the page cache does.
type wholeSectors struct{ *powercut.Disk }

func (w wholeSectors) WriteAt(p []byte, off int64) (int, error) {
	start := off / gpt.SectorSize * gpt.SectorSize
	end := (off + int64(len(p)) + gpt.SectorSize - 1) / gpt.SectorSize * gpt.SectorSize
	buf := make([]byte, end-start)
	if _, err := w.ReadAt(buf, start); err != nil {
		return 0, err
	}
	copy(buf[off-start:], p)
	_, err := w.Disk.WriteAt(buf, start)
	return len(p), err
}

type bytesAt []byte

func (b bytesAt) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }
