// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// dracut is the rival at booting: our tree on ext4, with a stock initrd.
type dracut struct{ disk, kernel, initrd, cmdline string }

// newDracut makes the rival from the contents of our disk.
func (b *bench) newDracut(ctx context.Context, disk string) (*dracut, error) {
	b.say("   making the rival: the same tree on ext4, with an initrd by dracut")
	choice, err := b.choice()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.temp, "dracut")
	d := &dracut{
		disk: filepath.Join(dir, "root.ext4"), kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(dir, "initrd"),
		cmdline: choice.Cmdline() + " root=/dev/vda rw",
	}
	tree, copied := filepath.Join(dir, "tree"), filepath.Join(dir, "copy")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return nil, err
	}
	if err := takeApart(ctx, disk, tree, d.kernel); err != nil {
		return nil, err
	}
	if err := command(ctx, "cp", "-a", tree, copied); err != nil {
		return nil, err
	}
	if err := b.makeInitrd(ctx, copied, d.initrd); err != nil {
		return nil, err
	}
	if err := nameMachine(tree); err != nil {
		return nil, err
	}
	if err := command(ctx, "mke2fs", "-q", "-t", "ext4", "-d", tree, d.disk, "3G"); err != nil {
		return nil, err
	}
	return d, errors.Join(os.RemoveAll(tree), os.RemoveAll(copied))
}

// nameMachine gives the tree a machine ID, as /init does on our disk. Without one,
// systemd would ask the questions of a first boot.
func nameMachine(tree string) error {
	path := filepath.Join(tree, "etc/machine-id")
	return errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(strings.Repeat("b", 32)+"\n"), 0o444))
}

// takeApart extracts the root tree and the kernel of slot a from a disk.
func takeApart(ctx context.Context, disk, tree, kernel string) (err error) {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		return fmt.Errorf("reading the partition table of %s: %w", disk, err)
	}
	image := tree + ".erofs"
	for _, p := range table.Partitions {
		switch p.Name {
		case layout.SlotA.Root():
			err = saveErofs(io.NewSectionReader(f, p.Offset(), p.Size()), image)
		case layout.SlotA.Boot():
			err = command(ctx, "mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", disk, p.Offset()), "::"+layout.BootKernel, kernel)
		}
		if err != nil {
			return err
		}
	}
	if err := command(ctx, "fsck.erofs", "--extract="+tree, image); err != nil {
		return err
	}
	return os.Remove(image)
}

// saveErofs copies a file system without the hash tree behind it. Its superblock,
// at byte 1024, has the logarithm of the block size at byte 12 and the number of
// blocks at byte 36 (Linux, fs/erofs/erofs_fs.h).
func saveErofs(r *io.SectionReader, path string) (err error) {
	var super [128]byte
	if _, err := r.ReadAt(super[:], 1024); err != nil {
		return fmt.Errorf("reading the superblock of the root image: %w", err)
	}
	size := int64(binary.LittleEndian.Uint32(super[36:])) << super[12]
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err = io.CopyN(out, r, size); err != nil {
		return fmt.Errorf("copying the root image: %w", err)
	}
	return nil
}

// makeInitrd installs dracut into a copy of the tree and runs it there.
func (b *bench) makeInitrd(ctx context.Context, copied, initrd string) error {
	versions, err := filepath.Glob(filepath.Join(copied, "usr/lib/modules/*"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("the tree has modules of %d kernels, want 1", len(versions))
	}
	if err := b.useMirrors(copied); err != nil {
		return err
	}
	const made = "/var/tmp/initrd"
	for _, argv := range [][]string{
		{"apt-get", "-q", "update"},
		{"apt-get", "-q", "install", "--yes", "dracut"},
		{"dracut", "--no-hostonly", "--force", made, filepath.Base(versions[0])},
	} {
		if err := b.inside(ctx, copied, argv...); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "chroot", copied, "dpkg-query", "-W", "-f", "${Version}", "dracut").Output()
	if err != nil {
		return fmt.Errorf("asking for dracut's version: %w", err)
	}
	b.rival("dracut", string(out)+", from Debian 13's archive")
	return os.Rename(filepath.Join(copied, made), initrd)
}

// useMirrors points apt in a tree of the benchmark at the archive of this run.
func (b *bench) useMirrors(root string) error {
	apt := filepath.Join(root, "etc/apt")
	return errors.Join(giveNames(root), os.RemoveAll(filepath.Join(apt, "sources.list")), os.RemoveAll(filepath.Join(apt, "sources.list.d")),
		os.MkdirAll(filepath.Join(apt, "sources.list.d"), 0o755),
		os.WriteFile(filepath.Join(apt, "sources.list.d/bench.sources"), []byte(b.mirrors.sources()), 0o644))
}

// inside runs a program in a tree. An error has the end of its output.
func (b *bench) inside(ctx context.Context, root string, argv ...string) (err error) {
	log, err := os.CreateTemp(b.temp, "inside-*.log")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return withTail(b.enter(ctx, room{root: root, log: log}, argv...).Run(), strings.Join(argv, " "), log.Name())
}

// command runs a program of the host. An error has its output.
func command(ctx context.Context, argv ...string) error {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
