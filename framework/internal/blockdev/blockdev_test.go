// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeSysfs makes a sysfs with a block device for each entry: the key is its path
// below devices, the value its files.
func fakeSysfs(t *testing.T, devices map[string]map[string]string) string {
	t.Helper()
	sys := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(sys, "block"), 0o755))
	for place, files := range devices {
		dir := filepath.Join(sys, "devices", place)
		for name, text := range files {
			must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
		}
		must(os.Symlink(dir, filepath.Join(sys, "block", filepath.Base(place))))
	}
	return sys
}

func TestDisks(t *testing.T) {
	sys := fakeSysfs(t, map[string]map[string]string{
		"pci/2/block/sda":          {"size": "4", "removable": "1", "device/model": "Stick   ", "device/wwid": "t10.QEMU    QEMU HARDDISK"},
		"pci/9/block/sdb":          {"size": "8", "removable": "0", "device/model": "Disk", "device/wwid": "naa.5000c500a1b2c3d4"},
		"pci/10/block/vda":         {"size": "2", "removable": "0", "device/name": "Card"},
		"pci/3/block/sdc":          {"size": "0", "removable": "1"},
		"pci/4/block/c!d0":         {"size": "2", "removable": "0"},
		"virtual/block/loop0":      {"size": "2", "removable": "0"},
		"virtual/block/dm-0":       {"size": "2", "removable": "0"},
		"pci/6/block/mmcblk0":      {"size": "6", "removable": "0", "device/name": "8GTF4R"},
		"pci/6/block/mmcblk0boot0": {"size": "2", "removable": "0", "device/name": "8GTF4R"},
		"pci/6/block/mmcblk0boot1": {"size": "2", "removable": "0", "device/name": "8GTF4R"},
		"pci/1/block/sr0":          {"size": "2", "removable": "1"},
	})
	got, err := Disks(sys)
	if err != nil {
		t.Fatal(err)
	}
	want := []Disk{
		{Name: "vda", Path: "/dev/vda", Topology: "pci/10/block/vda", Size: 1024, Model: "Card"},
		{Name: "c!d0", Path: "/dev/c/d0", Topology: "pci/4/block/c!d0", Size: 1024},
		{Name: "mmcblk0", Path: "/dev/mmcblk0", Topology: "pci/6/block/mmcblk0", Size: 3072, Model: "8GTF4R"},
		{Name: "sdb", Path: "/dev/sdb", Topology: "pci/9/block/sdb", Size: 4096, Model: "Disk", WWID: "naa.5000c500a1b2c3d4"},
		{Name: "sda", Path: "/dev/sda", Topology: "pci/2/block/sda", Size: 2048, Model: "Stick", Removable: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	drives, err := Optical(sys)
	if diff := cmp.Diff([]Disk{{Name: "sr0", Path: "/dev/sr0", Topology: "pci/1/block/sr0", Size: 1024, Removable: true}}, drives); err != nil || diff != "" {
		t.Errorf("optical drives (%v, -want +got):\n%s", err, diff)
	}
}

func TestPartitions(t *testing.T) {
	sys := fakeSysfs(t, map[string]map[string]string{
		"pci/block/nvme0n1": {
			"size": "100", "removable": "0",
			"nvme0n1p10/partition": "10", "nvme0n1p10/start": "50", "nvme0n1p10/size": "3",
			"nvme0n1p2/partition": "2", "nvme0n1p2/start": "8", "nvme0n1p2/size": "16",
			"queue/rotational": "0",
		},
	})
	got, err := Partitions(sys, "nvme0n1")
	if err != nil {
		t.Fatal(err)
	}
	want := []Partition{
		{Number: 2, Path: "/dev/nvme0n1p2", Start: 4096, Size: 8192},
		{Number: 10, Path: "/dev/nvme0n1p10", Start: 25600, Size: 1536},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

func TestBlkpgPartition(t *testing.T) {
	b := blkpgPartition(Partition{Number: 10, Start: 0x0102030405, Size: 0x0a0b0c0d0e})
	want := make([]byte, 152)
	copy(want, []byte{5, 4, 3, 2, 1, 0, 0, 0, 0xe, 0xd, 0xc, 0xb, 0xa, 0, 0, 0, 10, 0, 0, 0})
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("struct blkpg_partition on a little-endian machine (-want +got):\n%s", diff)
	}
}
