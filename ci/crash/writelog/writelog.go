// SPDX-License-Identifier: Apache-2.0

// Package writelog reads and writes the log of a disk's writes that QEMU's
// blklogwrites driver and Linux's dm-log-writes make. It owns the format; ci/crash
// decides what a log means for a disk.
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
// QEMU appends an entry when its write has completed, before the guest learns of it, so
// the log is in the order of completion. It writes the superblock at a flush and every
// few thousand entries, never at the end, so the number of entries can be too low. A
// Reader reads on behind that number as long as it finds entries. QEMU writes no FUA
// flag; dm-log-writes does.
//
// Sources: Documentation/admin-guide/device-mapper/log-writes.rst and
// drivers/md/dm-log-writes.c in Linux, block/blklogwrites.c in QEMU.
package writelog

import "errors"

// SectorSize is the sector size, in bytes, of the logs of Writer and ci/qemu.
const SectorSize = 512

const (
	magic         = 0x6a736677736872
	version       = 1
	entrySize     = 32
	maxSectorSize = 1 << 23 // of QEMU
)

// Errors of a Reader. Each comes wrapped with the place in the log.
var (
	// ErrNoLog says that there is no superblock: this is no log, or its machine ended
	// before its first flush.
	ErrNoLog = errors.New("no log of writes")
	// ErrCorrupt says that an entry is missing that the superblock counts, or that the
	// superblock's sector size is impossible.
	ErrCorrupt = errors.New("the log of writes is damaged")
)

// Flags say what else an entry is besides a write.
type Flags uint64

// The flags. An entry can have a flush and data: the flush comes first.
const (
	Flush   Flags = 1 << iota // all earlier completed writes are on the medium
	FUA                       // this write is on the medium when it completes
	Discard                   // the contents of the sectors no longer matter
	Mark                      // a text that a user of dm-log-writes put into the log

	allFlags = Flush | FUA | Discard | Mark
)

// An Entry is one write, discard, flush or mark.
type Entry struct {
	Offset int64 // bytes, on the disk
	Size   int64 // bytes
	Flags  Flags
	// Data is the offset of the entry's Size bytes in the log, or -1 if it has none.
	Data int64
}
