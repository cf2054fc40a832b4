// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// A medium is a device that may hold the live tree: an optical drive, a partition, or a
// whole disk.
type medium struct {
	blockdev.Disk        // the drive, or the disk of the partition
	device        string // /dev/sr0, /dev/sda1
	fs            string // iso9660 or vfat; empty: no file system labelled layout.LabelLive
	err           error  // why it is not the medium
}

// findMedium waits for the medium with the root image of this kernel, and mounts it in
// layout.LiveDir. It loads drivers for devices that appear meanwhile. A medium is looked
// at again at each turn: a drive may still be loading its disc.
func (b *boot) findMedium() (err error) {
	changes, err := blockdev.WatchChanges()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	for deadline := sinceKernelStart() + b.args.DiskWait; ; {
		loaded, err := b.loadDrivers()
		if err != nil {
			return err
		}
		media, err := listMedia(b.sysfs)
		if err != nil {
			return err
		}
		for i := range media {
			if media[i].err = b.tryMedium(&media[i]); media[i].err == nil {
				return b.useMedium(media[i])
			}
		}
		if sinceKernelStart() > deadline {
			return errors.New(noMedium(b.args, media))
		}
		if loaded {
			continue
		}
		if err := changes.Wait(pollInterval); err != nil {
			return err
		}
	}
}

// listMedia lists optical drives, then the partitions of each disk and the disk itself: a
// partition can be mounted while another one is in use, and the disk cannot.
func listMedia(sysfs string) ([]medium, error) {
	drives, err := blockdev.Optical(sysfs)
	if err != nil {
		return nil, err
	}
	disks, err := blockdev.Disks(sysfs)
	if err != nil {
		return nil, err
	}
	var list []medium
	for _, d := range append(drives, disks...) {
		parts, err := blockdev.Partitions(sysfs, d.Name)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			list = append(list, medium{Disk: d, device: p.Path})
		}
		list = append(list, medium{Disk: d, device: d.Path})
	}
	return list, nil
}

var errNotLive = errors.New("no file system labelled " + layout.LabelLive)

// tryMedium mounts a device that has the label, and keeps it mounted if it has the root
// image.
func (b *boot) tryMedium(m *medium) error {
	f, err := os.Open(m.device)
	if err != nil {
		return err
	}
	m.fs = liveFS(f)
	if err := f.Close(); err != nil {
		return err
	}
	if m.fs == "" {
		return errNotLive
	}
	if err := mount.MakeFS(m.fs, m.device, layout.LiveDir, mount.ReadOnly|mount.NoDev|mount.NoSUID, ""); err != nil {
		return err
	}
	if _, err := readSuperblock(filepath.Join(layout.LiveDir, layout.LiveRoot), b.args); err != nil {
		return errors.Join(fmt.Errorf("it is labelled %s, and %w", layout.LabelLive, err), mount.Unmount(layout.LiveDir))
	}
	return nil
}

// liveFS returns the kind of the file system in r, if its label is that of a medium. A
// FAT file system is a stick to which the files were copied (its label is in the boot
// sector: at 43 in FAT12 and FAT16, at 71 in FAT32).
func liveFS(r io.ReaderAt) string {
	if iso9660.ReadLabel(r) == layout.LabelLive {
		return "iso9660"
	}
	boot := make([]byte, 512)
	if n, _ := r.ReadAt(boot, 0); n < len(boot) || boot[510] != 0x55 || boot[511] != 0xaa {
		return ""
	}
	label := fmt.Appendf(nil, "%-11s", layout.LabelLive)
	for kind, at := range map[string]int{"FAT1": 43, "FAT3": 71} {
		if bytes.HasPrefix(boot[at+11:], []byte(kind)) && bytes.Equal(boot[at:at+11], label) {
			return "vfat"
		}
	}
	return ""
}

// useMedium notes the medium, and its persistent partition, if it has one.
func (b *boot) useMedium(m medium) error {
	b.medium = m
	b.disk = disk{Disk: m.Disk, paths: map[string]string{}}
	b.state.Disk = thisboot.Disk{Device: m.device, Size: m.Size, Model: m.Model}
	b.info("the live system is on %s (%s, %s)", m.device, describeSize(m.Size), describeModel(m.Model))
	if b.args.RAM {
		return nil
	}
	part, err := persistentPart(b.sysfs, m.Disk)
	if err != nil {
		b.warn("looking for a persistent partition on %s: %v", m.Path, err)
	}
	if part == nil {
		return nil
	}
	b.disk.paths[layout.PartPersistent] = part.Path
	b.state.Partitions = []thisboot.Partition{{Number: part.Number, Name: layout.PartPersistent, Device: part.Path, PartUUID: partUUID(m.Disk, part.Number), Size: part.Size}}
	b.info("what is written to %s is kept on %s", layout.MountPersistent, part.Path)
	return nil
}

// persistentPart finds the partition of a disk with the file system that keeps data. It
// goes by its label alone, as a person may have made it.
func persistentPart(sysfs string, d blockdev.Disk) (*blockdev.Partition, error) {
	parts, err := blockdev.Partitions(sysfs, d.Name)
	var errs []error
	for _, p := range parts {
		f, err := os.Open(p.Path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found := ext4Label(f) == layout.LabelPersistent
		errs = append(errs, f.Close())
		if found {
			return &p, nil
		}
	}
	return nil, errors.Join(append(errs, err)...)
}

// ext4Label returns the label of the ext4 file system in r, or "": the superblock is at
// 1024, its magic at 0x38 and its label at 0x78 in it.
func ext4Label(r io.ReaderAt) string {
	b := make([]byte, 1024)
	if n, _ := r.ReadAt(b, 1024); n < len(b) || b[0x38] != 0x53 || b[0x39] != 0xef {
		return ""
	}
	return string(bytes.TrimRight(b[0x78:0x88], "\x00"))
}

// partUUID returns the GUID of a partition, or "" if the disk has no GPT.
func partUUID(d blockdev.Disk, number int) string {
	f, err := os.Open(d.Path)
	if err != nil {
		return ""
	}
	defer f.Close()
	table, err := gpt.Read(f, d.Size)
	if err != nil {
		return ""
	}
	for _, p := range table.Partitions {
		if p.Number == number {
			return p.ID.String()
		}
	}
	return ""
}

// noMedium says what was looked at, and what is wrong with each.
func noMedium(a arguments, media []medium) string {
	var s strings.Builder
	fmt.Fprintf(&s, "the medium with the live system did not appear within %v: a file system labelled %s with the file %s that belongs to this kernel.\n", a.DiskWait, layout.LabelLive, layout.LiveRoot)
	if len(media) == 0 {
		s.WriteString("This machine shows no disk and no optical drive at all: is a driver missing?\n")
	} else {
		s.WriteString("These devices were looked at:\n")
	}
	altered := false
	for _, m := range media {
		fmt.Fprintf(&s, "  %s (%s): %v\n", m.device, describeModel(m.Model), m.err)
		altered = altered || m.fs != ""
	}
	if altered {
		s.WriteString("The medium is damaged, or it is another one than the kernel came from. Write it again.")
	} else {
		s.WriteString("Is it still connected? A stick may need another port. kairos.diskwait=SECONDS waits longer.")
	}
	return s.String()
}
