// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// started is a system that was started from slot b of the disk p. Partitions are files.
func started(t *testing.T, p *plate, b Booted) Booted {
	t.Helper()
	table, err := gpt.Read(p, p.Size())
	if err != nil {
		t.Fatal(err)
	}
	b.Dir, b.Loader = t.TempDir(), bootloader.Installed
	put(t, b.Dir, "dev/sda", p.data)
	b.Boot = &thisboot.Boot{
		Slot: layout.SlotB, Mode: layout.ModePassive, RootHash: b.Boot.RootHash, HashOffset: b.Boot.HashOffset,
		Disk: thisboot.Disk{Device: "/dev/sda", Size: p.Size()},
	}
	for _, part := range table.Partitions {
		device := fmt.Sprintf("/dev/sda%d", part.Number)
		b.Boot.Partitions = append(b.Boot.Partitions, thisboot.Partition{Name: part.Name, Device: device, Size: part.Size()})
		put(t, b.Dir, device, p.data[part.Offset():part.Offset()+part.Size()])
	}
	return b
}

func carryOut(t *testing.T, r Request) *plate {
	t.Helper()
	p := &plate{make([]byte, 230<<20)}
	plan, err := Prepare(t.Context(), computer(p, disks.Contents{}), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plan.Run(t.Context()), plan.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFromSlot: a disk that is installed from a slot of another one has the same bytes in
// every partition.
func TestFromSlot(t *testing.T) {
	dir, b := medium(t)
	image, err := FromMedium(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t)
	r.Image = image
	p := carryOut(t, r)
	b = started(t, p, b)
	if r.Image, err = FromSlot(b); err != nil {
		t.Fatal(err)
	}
	again := carryOut(t, r)
	table, err := gpt.Read(again, again.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range table.Partitions {
		at, end := part.Offset(), part.Offset()+part.Size()
		if !bytes.Equal(p.data[at:end], again.data[at:end]) {
			t.Errorf("partition %s differs", part.Name)
		}
	}
	if !bytes.Equal(p.data[:440], again.data[:440]) {
		t.Error("the boot code differs")
	}
}

// TestFromSlotRefuses: a slot with other boot files, and one without them.
func TestFromSlotRefuses(t *testing.T) {
	r := request(t)
	_, b := medium(t)
	p := carryOut(t, r)
	b = started(t, p, b)
	hash := b.Boot.RootHash
	b.Boot.RootHash = strings.Repeat("0", 64)
	if _, err := FromSlot(b); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "these are files of another image") {
		t.Errorf("got %v", err)
	}
	b.Boot.RootHash = hash
	boot, _ := b.Boot.Partition(layout.SlotB.Boot())
	if err := os.WriteFile(b.Dir+boot.Device, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FromSlot(b); !errors.Is(err, ErrImage) {
		t.Errorf("got %v", err)
	}
}
