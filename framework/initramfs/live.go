// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// findTree makes the live tree appear in layout.LiveDir.
func (b *boot) findTree() error {
	if b.args.Live == layout.LiveInitramfs {
		return b.bindTree()
	}
	return b.findMedium()
}

// bindTree shows the tree of the initramfs in layout.LiveDir, without a copy: it stays in
// the memory that it is in. The files are there as the boot loader loaded them, so all of
// the root image is checked: a cut or a disturbed transfer ends here, in words.
func (b *boot) bindTree() error {
	root := filepath.Join(layout.LiveInitramfsDir, layout.LiveRoot)
	if _, err := os.Stat(root); err != nil {
		return fmt.Errorf("the initramfs has no root image: %w; the boot loader has to load a second initrd with the live tree, and this machine needs memory for it (it has %s)", err, memoryWords())
	}
	if err := verifyFile(root, b.args); err != nil {
		return fmt.Errorf("the root image in the initramfs is not the one of this kernel, or it was cut short on its way (this machine has %s): %w", memoryWords(), err)
	}
	if err := os.MkdirAll(layout.LiveDir, 0o755); err != nil {
		return err
	}
	return mount.Bind(layout.LiveInitramfsDir, layout.LiveDir)
}

// verifyFile checks every byte of a root image in memory.
func verifyFile(path string, a arguments) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tree, err := verity.NewTree(a.HashOffset, a.RootHash)
	if err != nil {
		return err
	}
	return verity.Verify(context.Background(), f, tree)
}

// openLiveRoot puts a loop device and dm-verity over the root image of the live tree.
func (b *boot) openLiveRoot() error {
	file := filepath.Join(layout.LiveDir, layout.LiveRoot)
	superblock, err := readSuperblock(file, b.args)
	if err != nil {
		return fmt.Errorf("%s is not the root image that this kernel belongs to; write the medium again: %w", file, err)
	}
	if b.modules != nil {
		if err := b.modules.ByName("loop"); err != nil {
			b.warn("%v", err)
		}
	}
	loop, err := blockdev.AttachLoop(file)
	if err != nil {
		return err
	}
	return b.mapRoot(layout.LiveRoot, loop, superblock)
}

// mountLiveData mounts the data directories: the persistent partition of the medium, if it
// has one, and file systems in memory for the rest.
func (b *boot) mountLiveData() error {
	for _, v := range volumes() {
		if b.disk.paths[v.partition] != "" {
			err := b.mountVolume(v)
			if err == nil {
				continue
			}
			b.warn("%v.\n%s is in memory until the next boot: what is written there will be lost", err, v.dir)
		}
		if err := mount.FS("tmpfs", "tmpfs", sysroot+v.dir, v.flags, "mode=0755,"+tmpfsSize); err != nil {
			return err
		}
		b.mounted(v.dir, thisboot.MountEphemeral, "tmpfs", "tmpfs", false)
	}
	return nil
}
