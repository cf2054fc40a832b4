// SPDX-License-Identifier: Apache-2.0

// Package writelog reads and writes the log of a disk's writes that QEMU's
// blklogwrites driver and Linux's dm-log-writes make. It owns the format; what
// a log means for a disk is the business of ci/crash.
//
// The log, little endian, in sectors of the size that the superblock names:
//
//	0    superblock: magic "hsrwgsj\0", version 1, number of entries (8 bytes
//	     each), size of a sector (4 bytes), zeros
//	1    entry: sector and count of the write, flags, length of a mark's text
//	     (8 bytes each), zeros (a mark's text)
//	2..  the data of the entry, count sectors; a discard has none
//	...  the next entry
//
// QEMU appends an entry when its write has completed, before the guest learns of
// it, so the order of the log is that of completions. It writes the superblock
// at a flush and every few thousand entries, never at the end: the number of
// entries can be behind. A Reader goes on after it, for as long as what follows
// can be an entry. QEMU writes no FUA flag; dm-log-writes does.
//
// Sources: Documentation/admin-guide/device-mapper/log-writes.rst and
// drivers/md/dm-log-writes.c in Linux, block/blklogwrites.c in QEMU.
package writelog

import "errors"

// SectorSize in bytes of the logs that Writer makes and ci/qemu asks for.
const SectorSize = 512

const (
	magic         = 0x6a736677736872
	version       = 1
	entrySize     = 32
	maxSectorSize = 1 << 23 // of QEMU
)

// Errors of a Reader. Each comes wrapped in a sentence with the place.
var (
	// ErrNoLog says that there is no superblock: this is no log, or one of a
	// machine that ended before its first flush.
	ErrNoLog = errors.New("no log of writes")
	// ErrCorrupt says that an entry which the superblock counts is not there.
	ErrCorrupt = errors.New("the log of writes is damaged")
)

// Flags say what an entry is besides a write.
type Flags uint64

// The flags. An entry can have a flush and data: the flush comes first.
const (
	Flush   Flags = 1 << iota // what completed before it is on the medium
	FUA                       // this write is on the medium when it completes
	Discard                   // the sectors' contents do not matter any more
	Mark                      // a text that somebody put into the log

	allFlags = Flush | FUA | Discard | Mark
)

// An Entry is one write, discard, flush or mark.
type Entry struct {
	Offset int64 // bytes, on the disk
	Size   int64 // bytes
	Flags  Flags
	// Data is where in the log the entry's Size bytes are, or -1 if it has none.
	Data int64
}
