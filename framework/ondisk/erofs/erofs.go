// SPDX-License-Identifier: Apache-2.0

// Package erofs writes EROFS images in one pass: entries come in any order, file
// contents go to the image as they arrive, and the metadata follows when the writer
// is closed. It owns the on-disk format and the tree of names; it does not know
// where entries come from (see slotimage), does not compress, and does not read
// images.
//
// The image, in blocks of 4096 bytes, uses only features that Linux 5.4 has (no
// chunks, no shared xattrs, no incompatible feature bit):
//
//	block 0        1024 zeros, superblock (128 bytes), zeros
//	               file contents in the order of Add, each from a block's start
//	               directory contents
//	meta_blkaddr   inodes in slots of 32 bytes; slot 0 is free (no inode has
//	               the number 0), the root is the first one
//
// An inode is its fixed part (32 bytes compact, 64 bytes extended), its
// extended attributes, and, for the layout "flat inline", the last partial
// block of its data. The compact form has no time of its own: it is used when
// the time is that of the superblock and everything else fits. A fixed part
// with its inline data never crosses a block boundary.
//
// The same calls give the same bytes. The writer needs a few hundred bytes of memory
// for each name, plus inline data, which has a budget; beyond it, tails get blocks.
//
// Sources: fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst in
// Linux.
package erofs

import "io/fs"

// BlockSize is the block size of our images, in bytes.
const BlockSize = 4096

// Limits of the format and of Linux.
const (
	maxName    = 255
	maxPath    = 4095 // PATH_MAX without its NUL
	maxSymlink = 4095
	maxMajor   = 1<<12 - 1
	maxMinor   = 1<<20 - 1
)

// The type bits of a Unix st_mode, as Entry.Mode holds them.
const (
	ModeType    = 0o170000
	ModeSocket  = 0o140000
	ModeSymlink = 0o120000
	ModeRegular = 0o100000
	ModeBlock   = 0o060000
	ModeDir     = 0o040000
	ModeChar    = 0o020000
	ModeFIFO    = 0o010000
)

// Options are the properties of an image besides its entries.
type Options struct {
	UUID [16]byte
	// BuildTime, in seconds since 1970, is the time of the superblock and of
	// directories that were never added. SetBuildTime changes it.
	BuildTime int64
	// InlineBudget is how many bytes of file tails the writer keeps in memory, to
	// store them beside their inodes. The default is 32 MiB.
	InlineBudget int64
}

// An Entry is one file, directory, symbolic link, device, FIFO or socket.
type Entry struct {
	// Path is clean, separated by slashes and relative; "." is the root.
	Path string
	// Mode is a Unix st_mode with its type bits.
	Mode      uint32
	UID, GID  uint32
	MTime     int64 // seconds since 1970
	MTimeNsec uint32
	// Size is the length of a regular file in bytes; other types ignore it.
	Size int64
	// Linkname is the target of a symbolic link, 1 to 4095 bytes, any text.
	Linkname string
	// Major and Minor are the number of a device: 12 and 20 bits.
	Major, Minor uint32
	// Xattrs maps full names such as "security.capability" to raw values.
	// Names begin with user., trusted. or security., or are one of
	// system.posix_acl_access and system.posix_acl_default.
	Xattrs map[string]string
}

// pathError adds the path to an error. Errors of the tree of names are those of
// io/fs: fs.ErrExist, fs.ErrNotExist, and fs.ErrInvalid for entries that EROFS
// cannot hold.
func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}
