// SPDX-License-Identifier: Apache-2.0

// Package squashfs writes and reads SquashFS 4.0 images that are not compressed: the root
// images of nodes whose kernel has no EROFS. It owns the on-disk format and the tree of
// names; it does not know where entries come from (see slotimage). It refuses to read
// compressed images.
//
// Nothing is compressed, since builder and node make the same image from the same layers,
// each with its own version of a compressor, and must get the same bytes. Layers are
// compressed on their way, disks by their own format.
//
// The image:
//
//	0              superblock (96 bytes), zeros to 4096
//	               file contents in the order of Add, in blocks of 128 KiB; the last
//	               block of a file is as long as it is. Tails of at most 8 KiB share
//	               fragments, which lie between the files
//	inode table, directory table, fragment table, id table, xattr tables
//	               zeros to a multiple of 4096
//
// A metadata table is cut into blocks of 8192 bytes with a header of two bytes. They are not
// compressed either, so the place of an inode is known before it is written.
//
// The format has no nanoseconds, no times before 1970 or after 2106, and no POSIX ACLs: an
// entry with an ACL is refused. The superblock names zlib as its compressor, which every
// kernel with SquashFS has.
//
// The same calls give the same bytes. The writer needs a few hundred bytes of memory for
// each name, and one fragment.
//
// Sources: fs/squashfs/squashfs_fs.h and the checks in fs/squashfs/super.c of Linux;
// Documentation/filesystems/squashfs.rst.
package squashfs

import (
	"errors"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// An Entry is one file, directory, symbolic link, device, FIFO or socket: the same as that
// of the EROFS writer.
type Entry = erofs.Entry

// Magic begins an image.
const Magic = "hsqs"

// Sizes of the format, in bytes.
const (
	blockSize   = 128 << 10
	blockLog    = 17
	maxTail     = 8 << 10 // of a file, to share a fragment
	metaSize    = 8192
	metaHeader  = 2
	superSize   = 96
	alignment   = 4096 // of the data's begin and of the image's end
	refsPerMeta = metaSize / 16
	idsPerMeta  = metaSize / 4
)

// Limits of the format and of Linux.
const (
	maxName    = 255
	maxPath    = 4095
	maxSymlink = 4095
	maxIDs     = 1 << 16
)

const (
	rawData  = 1 << 24 // in the size of a block: it is not compressed
	rawMeta  = 1 << 15 // in the header of a metadata block
	noTable  = 1<<64 - 1
	noIndex  = 1<<32 - 1 // no fragment, no xattrs
	zlib     = 1
	dirExtra = 3 // a directory's size counts "." and ".."
)

// Flags of the superblock.
const (
	flagRawInodes    = 0x1
	flagRawData      = 0x2
	flagRawFragments = 0x8
	flagRawXattrs    = 0x100
	flagNoXattrs     = 0x200
	flagRawIDs       = 0x800
)

// Types of inodes. The extended form of a type is typeExtended more.
const (
	typeDir = iota + 1
	typeFile
	typeSymlink
	typeBlock
	typeChar
	typeFIFO
	typeSocket
	typeExtended = 7
)

// ErrFormat says that an image is damaged, or of a kind that this package does not read.
var ErrFormat = errors.New("bad SquashFS image")

// pathError adds the path to an error. Errors of the tree of names are those of io/fs:
// fs.ErrExist, fs.ErrNotExist, and fs.ErrInvalid for entries that SquashFS cannot hold.
func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}
