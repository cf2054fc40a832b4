// SPDX-License-Identifier: Apache-2.0

// Package disks reads which disks a machine has, what is on them and what uses them, and
// chooses the one to install to. It writes to none.
//
// # How a disk is chosen
//
// A disk is suitable if all of these hold. The words of Against say which do not:
//
//   - the running system did not start from it, nor from a medium on it
//   - nothing uses it: no mount, no swap, no device-mapper or RAID device over it
//   - it can be written, and its sectors have 512 bytes, or 4096 where UEFI starts the machine
//   - it is large enough for the image
//   - it is empty, or has an installation that was interrupted; --force (force: true in
//     the config) allows any contents
//
// "auto" takes, of the suitable disks, those where the least is lost: with a node on them,
// which is installed anew, else empty ones, else any. Of these it takes the largest, and of
// several with that size the first by its path in the device tree, which is the same at
// every boot. Removable disks and those
// on USB are taken only if the machine has no other disk: a fixed disk that is not suitable
// is a reason to ask a person, and not to write to a stick.
package disks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
)

// A Disk is a disk as an installer sees it.
type Disk struct {
	Path      string // such as /dev/sda
	ByID      string // its link in /dev/disk/by-id, the same at every boot; may be empty
	Model     string // as the disk reports it, or empty
	Bus       string // nvme, usb, sata, virtio, mmc or scsi
	Size      int64  // bytes
	Sector    int64  // bytes of a logical sector
	BIOS      bool   // a BIOS started its machine, not UEFI
	Removable bool   // or on USB
	ReadOnly  bool
	Uses      []string // sentences about what uses it
	Booted    string   // why the running system needs it; empty: it does not
	Contents  Contents
	// Unread says why its contents could not be read.
	Unread error
}

// A System is where the facts come from: the running system, or files of a test.
type System struct {
	Sys  string // "/sys"
	Dev  string // "/dev"
	Proc string // "/proc"
	// Booted are devices that the running system needs, such as /dev/sda or /dev/sr0p1, and
	// why: "this system was started from it".
	Booted map[string]string
	BIOS   bool // a BIOS started the machine, not UEFI
}

// List returns the disks of the machine, in the order of blockdev.Disks.
func (s System) List() ([]Disk, error) {
	found, err := blockdev.Disks(s.Sys)
	if err != nil {
		return nil, err
	}
	uses, err := s.uses()
	if err != nil {
		return nil, err
	}
	var all []Disk
	for _, d := range found {
		all = append(all, s.disk(d, uses))
	}
	return all, nil
}

func (s System) disk(b blockdev.Disk, uses map[string][]string) Disk {
	d := Disk{Path: b.Path, Model: b.Model, Bus: busOf(b), Size: b.Size, Sector: 512, BIOS: s.BIOS}
	d.Removable = b.Removable || d.Bus == "usb"
	dir := filepath.Join(s.Sys, "block", b.Name)
	if n, err := readNumber(dir, "queue/logical_block_size"); err == nil {
		d.Sector = n
	}
	if n, err := readNumber(dir, "ro"); err == nil {
		d.ReadOnly = n != 0
	}
	if d.Model == "" { // virtio disks have a serial number at most
		d.Model = readLine(dir, "serial")
	}
	d.ByID = s.byID(b.Path)
	for _, name := range s.names(b.Name) {
		path := "/dev/" + strings.ReplaceAll(name, "!", "/")
		d.Uses = append(d.Uses, uses[path]...)
		d.Uses = append(d.Uses, s.holders(b.Name, name)...)
		if why, ok := s.Booted[path]; ok {
			d.Booted = why
		}
	}
	d.Contents, d.Unread = s.read(b)
	return d
}

// read looks at what is on a disk.
func (s System) read(b blockdev.Disk) (c Contents, err error) {
	f, err := os.Open(filepath.Join(s.Dev, strings.TrimPrefix(b.Path, "/dev/")))
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return c, err
	}
	return Read(f, size)
}

// busOf tells by the path in the device tree how a disk is attached.
func busOf(b blockdev.Disk) string {
	for _, bus := range []struct{ part, name string }{
		{"/usb", "usb"}, {"/nvme", "nvme"}, {"/virtio", "virtio"}, {"/mmc", "mmc"}, {"/ata", "sata"},
	} {
		if strings.Contains("/"+b.Topology, bus.part) {
			return bus.name
		}
	}
	return "scsi"
}

// names returns the names of a disk and of its partitions.
func (s System) names(disk string) []string {
	names := []string{disk}
	parts, err := filepath.Glob(filepath.Join(s.Sys, "block", disk, "*", "partition"))
	if err != nil {
		return names
	}
	for _, file := range parts {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names
}

// holders says which devices lie over a disk or a partition.
func (s System) holders(disk, name string) []string {
	dir := filepath.Join(s.Sys, "block", disk)
	if name != disk {
		dir = filepath.Join(dir, name)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "holders"))
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		what := e.Name()
		if n := readLine(filepath.Join(s.Sys, "block", what), "dm/name"); n != "" {
			what += " (" + n + ")"
		}
		all = append(all, fmt.Sprintf("/dev/%s is part of %s", name, what))
	}
	return all
}

// byID chooses a name of a disk that does not depend on which disk answered first: the
// first one by bus, model and serial number, else any.
func (s System) byID(path string) string {
	dir := filepath.Join(s.Dev, "disk/by-id")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && filepath.Base(to) == filepath.Base(path) {
			names = append(names, e.Name())
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	if len(names) == 0 {
		return ""
	}
	return "/dev/disk/by-id/" + names[0]
}

// rank puts names that people can read before numbers.
func rank(name string) int {
	for i, prefix := range []string{"wwn-", "nvme-eui.", "nvme-nvme.", "lvm-", "dm-"} {
		if strings.HasPrefix(name, prefix) {
			return i + 1
		}
	}
	return 0
}

func readLine(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func readNumber(dir, file string) (int64, error) {
	return strconv.ParseInt(readLine(dir, file), 10, 64)
}
