// SPDX-License-Identifier: Apache-2.0

// Package ext4 writes small, deterministic ext4 file systems: the oem and
// persistent partitions of a disk. It also repairs their superblock after a power
// cut has torn it (Mend). It owns only the format; it does not read files, mount or
// grow a file system.
//
// It writes the default format of mke2fs, in the most common variant: 4 KiB
// blocks, 256-byte inodes, extents, an internal journal, metadata
// checksums, 64-byte group descriptors, and a resize inode whose reserved
// descriptor blocks let Linux grow the file system while it is mounted
// (EXT4_IOC_RESIZE_FS) to 2 TiB (1 TiB when the journal is smaller than 8 MiB);
// past that the kernel switches to meta_bg by itself. Metadata checksums also spare
// the kernel from zeroing the inode tables of the new groups, which are 1.6 % of the
// disk, while the file system grows.
//
// Programs that grow a file system must know this: after a power cut during growth,
// Linux (seen with 6.1 and 6.12, with images of mkfs.ext4 too) counts its block
// groups before it replays the journal, but takes the size from the replayed
// superblock. Such a mount must not be written to, and growing it runs into "kernel
// BUG at fs/ext4/resize.c". So a file system whose superblock says needs_recovery
// must be mounted read-only, which replays the journal, unmounted, and only then
// mounted for use.
//
// The format is described in the kernel's Documentation/filesystems/ext4; the
// resize inode only in e2fsprogs' lib/ext2fs/res_gdt.c and fs/ext4/resize.c.
//
// Why not github.com/diskfs/go-diskfs (measured with v1.9.4): it puts the clock
// and random numbers into every image (time.Now in the superblock and inodes, a
// random hash seed), and it writes no resize inode for file systems with one
// block group or with 4 KiB blocks ("no backup groups available for resize inode
// data blocks"). Its tests read back what this package writes.
package ext4

import (
	"fmt"
	"io"
	"time"
)

// Options are the properties of a file system that are not its contents.
type Options struct {
	Label string    // volume label, at most 16 bytes
	UUID  [16]byte  // of the file system; gives the seed of directory hashes
	Time  time.Time // every timestamp; the zero value means 1970-01-01
	// Journal is the size of the journal in bytes, a multiple of 4096, at least
	// 4 MiB. Linux cannot grow a journal, and grows a file system only when a
	// quarter of it holds every reserved descriptor block. The default is a
	// quarter of the file system, from 4 MiB to 64 MiB.
	Journal int64
}

// An Entry is one file or directory.
type Entry struct {
	Path     string // slash-separated, relative, clean: "cloud-config/90_user.yaml"; "." is the root
	Mode     uint32 // permission bits with setuid, setgid and sticky: at most 0o7777
	UID, GID uint32
	Data     []byte // contents of a file
	Dir      bool
}

// Write writes a file system of size bytes (rounded down to whole blocks of
// 4096) to w. Blocks of zeros are not written: w must read as zeros before, as a
// new file does. Equal arguments give equal bytes; the order of the entries does
// not matter. A directory above an entry that was not given gets mode 0755 0:0.
//
// The errors are ErrSize, ErrFull, ErrPath, ErrDuplicate and ErrOption, with
// details, and those of w. Write writes nothing until it has ruled out the former.
func Write(w io.WriterAt, size int64, entries []Entry, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	g, err := newGeometry(size, o.Journal)
	if err != nil {
		return err
	}
	root, err := buildTree(entries)
	if err != nil {
		return err
	}
	img := newImage(g, o)
	if err := img.place(root); err != nil {
		return err
	}
	return img.write(w)
}

func (o Options) check() error {
	if len(o.Label) > 16 {
		return fmt.Errorf("%w: label %q has %d bytes, at most 16 fit", ErrOption, o.Label, len(o.Label))
	}
	// Inodes hold 34 bits of seconds.
	if s := o.seconds(); s < 0 || s >= 1<<34 {
		return fmt.Errorf("%w: time %s is not between 1970 and 2514", ErrOption, o.Time)
	}
	return nil
}

// seconds returns Time in seconds since 1970.
func (o Options) seconds() int64 {
	if o.Time.IsZero() {
		return 0
	}
	return o.Time.Unix()
}
