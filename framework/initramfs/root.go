// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/framework/internal/dm"
	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// sysroot is where /init mounts the new root.
const sysroot = "/sysroot"

// rootName is the device-mapper name of the root.
const rootName = "kairos-root"

// openRoot puts dm-verity over the slot's root partition. A block that does
// not match its hash makes the kernel panic: the machine restarts, and the
// boot loader counts the try. So the boot loader leaves a slot with a damaged block
// like any other slot that does not boot.
func (b *boot) openRoot() error {
	device := b.disk.paths[b.args.Slot.Root()]
	superblock, err := readSuperblock(device, b.args)
	if err != nil {
		return fmt.Errorf("%s (%s) does not hold the root image that this kernel belongs to; write the slot again: %w", b.args.Slot.Root(), device, err)
	}
	return b.mapRoot(b.args.Slot.Root(), device, superblock)
}

// mapRoot makes the dm-verity device of a root image. what names the image for people.
func (b *boot) mapRoot(what, device string, superblock verity.Superblock) (err error) {
	table := dm.Verity{
		Device:        device,
		DataBlockSize: verity.BlockSize, HashBlockSize: verity.BlockSize,
		DataBlocks: superblock.DataBlocks,
		HashStart:  b.args.HashOffset/verity.BlockSize + 1,
		RootHash:   b.args.RootHash, Salt: superblock.Salt,
		Options: []string{dm.PanicOnCorruption},
	}.Table()
	b.rootDevice, err = dm.Create(rootName, verityUUID(superblock.UUID), table)
	if err != nil {
		return err
	}
	b.info("root is %s (%s) behind dm-verity, root hash %s", what, device, hex.EncodeToString(b.args.RootHash[:]))
	return linkDevice(b.rootDevice, rootName)
}

// verityUUID is the UUID that veritysetup would give the device, so that
// `veritysetup status` knows it.
func verityUUID(id [16]byte) string {
	return "CRYPT-VERITY-" + hex.EncodeToString(id[:]) + "-" + rootName
}

// linkDevice makes the name of a device in /dev/mapper, as udev does in the running
// system.
func linkDevice(device, name string) error {
	err := os.Symlink("../"+filepath.Base(device), "/dev/mapper/"+name)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

func readSuperblock(device string, a arguments) (s verity.Superblock, err error) {
	f, err := os.Open(device)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return checkRoot(f, a)
}

// checkRoot reads the verity superblock of a root partition and compares the top of
// the tree with the root hash. The kernel checks that too, but only panics, and a
// kernel and a root of different images are the likeliest mistake.
func checkRoot(r io.ReaderAt, a arguments) (s verity.Superblock, err error) {
	if s, err = verity.ReadSuperblock(r, a.HashOffset); err != nil {
		return s, err
	}
	if s.DataBlocks*verity.BlockSize != a.HashOffset {
		return s, fmt.Errorf("its verity superblock is for %d blocks, the kernel command line says %d", s.DataBlocks, a.HashOffset/verity.BlockSize)
	}
	top := make([]byte, verity.BlockSize)
	if _, err := r.ReadAt(top, topBlock(s, a.HashOffset)); err != nil {
		return s, err
	}
	if sha256.Sum256(append(slices.Clip(s.Salt), top...)) != a.RootHash {
		return s, fmt.Errorf("%w: the root hash on the kernel command line is of another image, or the hash tree is damaged", verity.ErrCorrupt)
	}
	return s, nil
}

// topBlock returns the offset, in bytes, of the block whose hash is the root hash:
// the block after the superblock, or the only data block.
func topBlock(s verity.Superblock, hashOffset int64) int64 {
	if s.DataBlocks == 1 {
		return 0
	}
	return hashOffset + verity.BlockSize
}

// mountPoints are the directories that an image must have: the root is read-only,
// so /init cannot make them.
func mountPoints() []string { return append(movedMounts(), "/etc", "/var") }

// mountRoot mounts the slot's root read-only.
func (b *boot) mountRoot() error {
	format, err := rootFormat(b.rootDevice)
	if err != nil {
		return err
	}
	if err := mount.MakeFS(string(format), b.rootDevice, sysroot, mount.ReadOnly, ""); err != nil {
		return fmt.Errorf("%w (is %s in this kernel?)", err, format)
	}
	for _, dir := range mountPoints() {
		if info, err := os.Lstat(sysroot + dir); err != nil || !info.IsDir() {
			return fmt.Errorf("the root image has no directory %s: it is not an image of ours", dir)
		}
	}
	b.mounted("/", thisboot.MountRoot, b.rootDevice, string(format), true)
	return nil
}

// rootFormat is the format of the root image on a device.
func rootFormat(device string) (_ layout.FileSystem, err error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return rootimage.Format(f)
}

// mounted notes a mount for the report; path is in the running system.
func (b *boot) mounted(path string, kind thisboot.MountKind, source, fs string, readOnly bool) {
	b.state.Mounts = append(b.state.Mounts, thisboot.Mount{Path: path, Kind: kind, Source: source, FS: fs, ReadOnly: readOnly})
}
