// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kairos-build/kairos-build/framework/internal/grow"
	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// tmpfsSize bounds each tmpfs, as a part of the memory: one for all ephemeral
// overlays, and one for each stand-in for a data partition.
const tmpfsSize = "size=25%"

// A volume is a data partition and its mount point.
type volume struct {
	partition string // GPT name
	label     string // file system label
	dir       string
	flags     uintptr
}

// volumes lists the data partitions in the order in which they are mounted.
// Programs and containers live on persistent, so it may hold devices and
// set-user-ID files; oem holds configuration only.
func volumes() []volume {
	return []volume{
		{layout.PartOEM, layout.LabelOEM, layout.MountOEM, mount.NoAtime | mount.NoDev | mount.NoSUID},
		{layout.PartPersistent, layout.LabelPersistent, layout.MountPersistent, mount.NoAtime},
	}
}

// fitDisk gives the disk an identity of its own at its first boot. It grows the
// persistent partition to the end of the disk, then and whenever the disk has been
// enlarged.
func (b *boot) fitDisk() error {
	change, err := grow.Fit(b.disk.Path, b.disk.Size, b.table, layout.PartPersistent)
	b.table = change.Table
	b.describeDisk()
	if change.Personal {
		b.personal = true
		b.info("disk %s has an identity of its own now: disk %s, EFI partition %s", b.disk.Path, b.table.DiskGUID, identity(b.table))
	}
	if change.Grown > 0 {
		b.info("grew partition %s (%s) to %s", layout.PartPersistent, b.disk.paths[layout.PartPersistent], describeSize(change.Grown))
	}
	if err != nil && b.disk.paths[layout.PartPersistent] != "" {
		b.warn("the partition table stays as it is, or the persistent partition keeps its size: %v", err)
	}
	return nil
}

// mountData mounts the data partitions. It replaces an unusable partition by an
// empty file system in memory, so that the node can be reached and repaired.
func (b *boot) mountData() error {
	for _, v := range volumes() {
		err := b.prepareVolume(v)
		if err == nil {
			err = b.mountVolume(v)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, errLocked) && b.onTrial():
			return err
		case errors.Is(err, errLocked):
			b.warn("%v.\n%s is empty and in memory until the next boot: what is written there will be lost. The data is untouched: restart the machine to try again", err, v.dir)
			if err := b.mountStandIn(v); err != nil {
				b.warn("%v", err)
			}
			continue
		}
		b.warn("%v.\n%s is empty and in memory until the next boot: what is written there will be lost. Look at the disk, and repair the file system with e2fsck or make a new one labelled %s", err, v.dir, v.label)
		if err := b.mountStandIn(v); err != nil {
			b.warn("%v", err)
		}
	}
	return nil
}

// prepareVolume unlocks an encrypted partition. It makes the persistent file system anew if
// that was asked for; the request is on oem, which is mounted already.
func (b *boot) prepareVolume(v volume) error {
	if err := b.unlock(v); err != nil {
		return err
	}
	if v.partition == layout.PartPersistent {
		b.wipePersistent()
	}
	return nil
}

func (b *boot) mountVolume(v volume) error {
	device := b.disk.paths[v.partition]
	if device == "" {
		return fmt.Errorf("%s: disk %s has no partition named %s", v.dir, b.disk.Path, v.partition)
	}
	if err := b.mendVolume(v, device); err != nil {
		return fmt.Errorf("%s: %w", v.dir, err)
	}
	fs, err := inspectRecovered(device, sysroot+v.dir)
	if err != nil {
		return fmt.Errorf("%s: %w", v.dir, err)
	}
	if err := mount.FS("ext4", device, sysroot+v.dir, v.flags, "errors=remount-ro"); err != nil {
		return err
	}
	b.mounted(v.dir, thisboot.MountData, device, "ext4", false)
	if fs.Errors {
		b.warn("the file system of %s (%s) is damaged: run `e2fsck -f %s` from the recovery slot", v.dir, device, device)
	}
	b.growFileSystem(v, fs)
	return nil
}

// inspectRecovered reads the superblock after the journal has been replayed, which
// takes a mount of its own. Linux counts the block groups of a file system before
// it replays the journal: after a power cut during growth it would mount the file
// system with the old count, and growing it again would damage it (kernel BUG at
// fs/ext4/resize.c, seen with 6.12).
func inspectRecovered(device, dir string) (grow.Ext4, error) {
	fs, err := grow.Inspect(device)
	if err != nil || !fs.NeedsRecovery {
		return fs, err
	}
	if err := mount.FS("ext4", device, dir, mount.ReadOnly, ""); err != nil {
		return fs, fmt.Errorf("replaying the journal: %w", err)
	}
	if err := mount.Unmount(dir); err != nil {
		return fs, fmt.Errorf("replaying the journal: %w", err)
	}
	return grow.Inspect(device)
}

func (b *boot) growFileSystem(v volume, fs grow.Ext4) {
	space, err := sizeOf(b.disk.paths[v.partition])
	if err != nil {
		b.warn("%v", err)
		return
	}
	size, err := grow.FileSystem(fs, sysroot+v.dir, space)
	if err != nil {
		b.warn("%v", err)
	}
	if size > 0 {
		b.info("grew the file system of %s to %s", v.dir, describeSize(size))
	}
}

// sizeOf returns the size of a block device in bytes.
func sizeOf(device string) (size int64, err error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	size, err = f.Seek(0, io.SeekEnd)
	return size, errors.Join(err, f.Close())
}

func (b *boot) mountStandIn(v volume) error {
	if err := mount.FS("tmpfs", "tmpfs", sysroot+v.dir, v.flags, "mode=0755,"+tmpfsSize); err != nil {
		return err
	}
	b.mounted(v.dir, thisboot.MountFallback, "tmpfs", "tmpfs", false)
	return nil
}

// overlayDir holds the writable side of the ephemeral directories. It is in /run,
// which moves to the new root.
const overlayDir = "/run/overlay"

// mountOverlay makes the ephemeral directories writable. They share one tmpfs.
func (b *boot) mountOverlay() error {
	if err := mount.MakeFS("tmpfs", "tmpfs", overlayDir, 0, "mode=0755,"+tmpfsSize); err != nil {
		return err
	}
	for _, dir := range layout.Ephemeral() {
		if _, err := os.Lstat(sysroot + dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := mount.Overlay(sysroot+dir, overlayDir+dir); err != nil {
			return err
		}
		b.mounted(dir, thisboot.MountEphemeral, overlayDir+dir+"/upper", "overlay", false)
	}
	return b.mountTmp()
}

// mountTmp makes /tmp writable: Debian before 13 leaves it on the root.
func (b *boot) mountTmp() error {
	if info, err := os.Lstat(sysroot + "/tmp"); err != nil || !info.IsDir() {
		return nil
	}
	if err := mount.FS("tmpfs", "tmpfs", sysroot+"/tmp", mount.NoSUID|mount.NoDev, "mode=1777,size=50%"); err != nil {
		return err
	}
	b.mounted("/tmp", thisboot.MountEphemeral, "tmpfs", "tmpfs", false)
	return nil
}
