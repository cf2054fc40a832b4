// SPDX-License-Identifier: Apache-2.0

// Package bootenvtest makes EFI partitions with a boot environment, for tests of code
// that changes the state of a node. Tests open it with bootenv.Open, as a node does: no
// test of the agent has a store of its own.
package bootenvtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// size is the size of the partition, in bytes: the minimum for FAT32 and some room.
const size = 34 << 20

// Partition makes an image of an EFI partition whose environment block holds the state,
// and returns its path. The image is removed after the test.
func Partition(t testing.TB, state slot.State) string {
	t.Helper()
	block, err := grubenv.Encode(state.Vars())
	if err != nil {
		t.Fatal(err)
	}
	return PartitionWith(t, fat32.File{Path: "EFI/debian/" + bootconf.GRUBEnv, Data: block})
}

// PartitionWith makes an image of an EFI partition with these files and some others, and
// returns its path.
func PartitionWith(t testing.TB, files ...fat32.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "efi.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	files = append(files, fat32.File{Path: "EFI/BOOT/BOOTX64.EFI", Data: []byte("shim")}, fat32.File{Path: "EFI/debian/" + bootconf.GRUBConfig})
	if err := fat32.Write(f, size, files, fat32.Options{Label: "COS_GRUB"}); err != nil {
		t.Fatal(err)
	}
	return path
}

// Open opens the boot environment of such a partition, until the test ends.
func Open(t testing.TB, partition string) *bootenv.Store {
	t.Helper()
	s, err := bootenv.Open(partition)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Boot simulates one boot of GRUB from the partition and returns its choice. It writes
// the state of slot.State.Boot as GRUB does, see grubenv.Edit.
func Boot(t testing.TB, partition string) slot.Choice {
	t.Helper()
	f, err := os.OpenFile(partition, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := fat32.Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	extents, err := v.Extents("EFI/debian/" + bootconf.GRUBEnv)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, grubenv.Size)
	if _, err := f.ReadAt(block, extents[0].Offset); err != nil {
		t.Fatal(err)
	}
	state, err := bootenv.Parse(block)
	if err != nil {
		t.Fatal(err)
	}
	choice, next := state.Boot()
	if _, err := f.WriteAt(grubenv.Edit(block, slot.VarNames(), next.Vars()), extents[0].Offset); err != nil {
		t.Fatal(err)
	}
	return choice
}
