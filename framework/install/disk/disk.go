// SPDX-License-Identifier: Apache-2.0

// Package disk writes disk.raw, a bootable disk as a sparse file, from an image. It
// needs no root, no loop device and no mount. It owns the order and the contents of
// the partitions. framework/ondisk owns the formats, framework/layout the sizes, and
// the BootLoader makes the disk start.
//
// The same Spec gives the same bytes. Every identifier (GUIDs, volume IDs, file
// system UUIDs) is derived from Spec.ID. All checks come before the first write. The
// file appears under its name, by rename, when it is complete; until then an older
// file stays as it is.
//
// An Installation writes the same disk to a block device, in an order that survives a
// power cut at any moment.
//
// # Writing and verifying
//
// The disk is a row of regions: the head (MBR and partition table), one for
// each partition, and the tail (the second partition table). One goroutine
// writes them and records the extents of data; another follows it and takes the
// SHA-256 of each extent. Verify compares a disk with the extents. Most of a disk is a
// hole, and the SHA-256 of the whole file takes longer than writing it: a third
// goroutine makes it only if it is asked for.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// A Spec says what disk to write.
type Spec struct {
	// Image goes to slot a, to slot b and to recovery.
	Image *slotimage.Image
	// BootLoader makes the boot loader from the files in Image.Bootloader.
	BootLoader func(files map[string][]byte) (BootLoader, error)
	// Root is the root image: Image.Tree.Size bytes. When it is an *os.File,
	// the kernel copies it, or shares its blocks where the file system can.
	Root io.ReaderAt
	// Stream writes the root image, for an Installation without a Root.
	Stream Stream
	// OEM are the files of the oem partition, with paths relative to /oem.
	OEM []ext4.Entry
	// Sizes of the partitions. Default: layout's, for an image of Tree.Size.
	Sizes layout.Sizes
	// Extra are more partitions, between oem and persistent. Write numbers them. They have
	// the file system ext4, FAT32, or none (layout.Raw).
	Extra []layout.Partition
	// Encrypted are the volumes of partitions that are encrypted, by their names. Such a
	// partition has the file system that it would have without, and is larger by the header.
	Encrypted map[string]*luks2.Volume
	// Whole asks for the SHA-256 of the whole disk, holes included, in Result. That takes
	// longer than writing it.
	Whole bool
	// ID is the seed of every identifier.
	ID [32]byte
	// Time of all files that we make. Default: the earliest time that the file
	// system can store.
	Time time.Time
}

// A Result describes a disk that was written.
type Result struct {
	Size    int64    // bytes, with holes
	Data    int64    // bytes that are not holes
	Extents []Extent // in order
	SHA256  string   // of the whole disk, hex; empty without Spec.Whole
	Table   *gpt.Table
}

// Write writes the disk to the file path and replaces an older file. It does not
// wait for the data to reach the medium. The errors are ErrTooLarge, ErrRoot, and
// those of the boot loader and of the file system; they say what to do where the
// user can do something.
func Write(ctx context.Context, path string, s Spec) (Result, error) {
	if s.Root == nil {
		return Result{}, errors.New("BUG: a file is written from Spec.Root")
	}
	p, err := newPlan(s)
	if err != nil {
		return Result{}, fmt.Errorf("planning disk %q: %w", path, err)
	}
	out, err := create(path, p.size)
	if err != nil {
		return Result{}, explain(path, p, err)
	}
	extents, whole, err := p.run(ctx, out.File)
	if err != nil {
		return Result{}, errors.Join(explain(path, p, err), out.Discard())
	}
	if err := out.Publish(); err != nil {
		return Result{}, explain(path, p, err)
	}
	return Result{Size: p.size, Data: p.data(), Extents: extents, SHA256: whole, Table: p.table}, nil
}

// explain is Explain for the disk of a plan.
func explain(path string, p *plan, err error) error { return Explain(path, p.estimate(), p.size, err) }

// Explain says what to do about an error of the file system: err came from writing the
// disk file path, which needs need bytes and has size bytes with its holes.
func Explain(path string, need, size int64, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("writing disk %q: %w; it needs about %d MiB in %q: free some, or choose another folder", path, err, need>>20, dir)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("writing disk %q: %w; the file has %d MiB (most of them a hole): choose a folder on a file system without that limit", path, err, size>>20)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("writing disk %q: %w; choose a folder that you may write to", path, err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("writing disk %q: %w; make the folder %q first", path, err, dir)
	}
	return fmt.Errorf("writing disk %q: %w", path, err)
}
