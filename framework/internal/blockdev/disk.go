// SPDX-License-Identifier: Apache-2.0

// Package blockdev finds disks and their partitions in sysfs, waits for new disks,
// tells the kernel about a new or grown partition, and locks a device while it is
// written. It does not know the content of a disk: that is framework/ondisk.
package blockdev

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sectorSize is the unit of sizes in sysfs, in bytes, whatever sectors the disk
// itself has.
const sectorSize = 512

// A Disk is a whole disk that may hold a partition table.
type Disk struct {
	Name      string // vda, nvme0n1
	Path      string // /dev/vda
	Topology  string // path in the device tree, the same at every boot: pci0000:00/...
	Model     string // as the disk reports it, or empty
	Size      int64  // bytes
	Removable bool
	// WWID is the worldwide unique name from the disk's maker, such as "naa.5000…",
	// or empty. Names that are made from a model or a serial number are left out:
	// many cheap sticks have the same.
	WWID string
}

// Same says whether d and other are the same disk, or two paths to it, as in a
// server with two cables to its disks.
func (d Disk) Same(other Disk) bool {
	return d.Name == other.Name || d.WWID != "" && d.WWID == other.WWID && d.Size == other.Size
}

// A Partition is one partition of a disk, as the kernel sees it.
type Partition struct {
	Number int
	Path   string // /dev/vda4
	Start  int64  // bytes from the beginning of the disk
	Size   int64  // bytes
}

// ignored tells, by its name, whether a block device is no disk with a partition table of
// ours, or blocks without a medium.
func ignored(name string) bool {
	if strings.HasPrefix(name, "mmcblk") && strings.Contains(name, "boot") {
		return true // an area of an eMMC beside its disk, for the firmware of the board
	}
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Disks lists the disks below sysfs ("/sys") that have a medium: fixed disks
// before removable ones, then by their path in the device tree. So the order does
// not depend on which disk answered first.
func Disks(sysfs string) ([]Disk, error) { return list(sysfs, ignored) }

// Optical lists the optical drives, in the order of Disks. The size of a drive without a
// disc is meaningless.
func Optical(sysfs string) ([]Disk, error) {
	return list(sysfs, func(name string) bool { return !strings.HasPrefix(name, "sr") })
}

func list(sysfs string, ignored func(name string) bool) ([]Disk, error) {
	entries, err := os.ReadDir(filepath.Join(sysfs, "block"))
	if err != nil {
		return nil, fmt.Errorf("listing disks: %w", err)
	}
	var disks []Disk
	for _, entry := range entries {
		if ignored(entry.Name()) {
			continue
		}
		d, err := readDisk(sysfs, entry.Name())
		if err == nil && d.Size > 0 {
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b Disk) int {
		if a.Removable != b.Removable {
			return cmp.Compare(btoi(a.Removable), btoi(b.Removable))
		}
		return cmp.Compare(a.Topology, b.Topology)
	})
	return disks, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func readDisk(sysfs, name string) (Disk, error) {
	dir := filepath.Join(sysfs, "block", name)
	size, err := readInt(dir, "size")
	if err != nil {
		return Disk{}, err
	}
	removable, err := readInt(dir, "removable")
	if err != nil {
		return Disk{}, err
	}
	topology, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Disk{}, err
	}
	model, err := os.ReadFile(filepath.Join(dir, "device/model"))
	if errors.Is(err, os.ErrNotExist) { // memory cards have the file name instead
		model, err = os.ReadFile(filepath.Join(dir, "device/name"))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Disk{}, err
	}
	wwid, err := os.ReadFile(filepath.Join(dir, "device/wwid"))
	if err != nil || !strings.HasPrefix(string(wwid), "naa.") {
		wwid = nil
	}
	return Disk{
		WWID: strings.TrimSpace(string(wwid)),
		Name: name, Path: devPath(name), Size: size * sectorSize, Removable: removable != 0,
		Topology: strings.TrimPrefix(topology, filepath.Join(sysfs, "devices")+"/"),
		Model:    strings.TrimSpace(string(model)),
	}, nil
}

// Partitions lists the partitions of the disk called name, sorted by number.
func Partitions(sysfs, name string) ([]Partition, error) {
	dir := filepath.Join(sysfs, "block", name)
	files, err := filepath.Glob(filepath.Join(dir, "*", "partition"))
	if err != nil {
		return nil, err
	}
	var list []Partition
	for _, file := range files {
		p, err := readPartition(filepath.Dir(file))
		if err != nil {
			return nil, fmt.Errorf("reading a partition of disk %s: %w", name, err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
	return list, nil
}

func readPartition(dir string) (Partition, error) {
	number, err1 := readInt(dir, "partition")
	start, err2 := readInt(dir, "start")
	size, err3 := readInt(dir, "size")
	return Partition{
		Number: int(number), Path: devPath(filepath.Base(dir)),
		Start: start * sectorSize, Size: size * sectorSize,
	}, errors.Join(err1, err2, err3)
}

// devPath is the node of a block device in devtmpfs. The kernel writes ! for a
// slash in a name (cciss!c0d0).
func devPath(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

func readInt(dir, file string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}
