// SPDX-License-Identifier: Apache-2.0

package disks

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// A mark is a text at a place that says what a device holds. Offsets are in bytes; a
// negative one counts from the end.
type mark struct {
	at          int64
	text        string
	what        string
	label, size int64 // of the label, if it has one
}

// marks are the signatures of libblkid (util-linux, libblkid/src/superblocks), those that
// disks of servers have. The order is that of blkid: RAID and volumes first, since what is
// inside of them may show through.
var marks = []mark{
	{at: -1024, text: "Intel Raid ISM Cfg Sig. ", what: "a member of an Intel RAID"},
	{at: -512, text: "\xde\x11\xde\x11", what: "a member of a DDF RAID"},
	{at: -512, text: "\x11\xde\x11\xde", what: "a member of a DDF RAID"},
	{at: 0, text: "\xfc\x4e\x2b\xa9", what: "a member of a Linux RAID"},
	{at: 4096, text: "\xfc\x4e\x2b\xa9", what: "a member of a Linux RAID"},
	{at: 0x218, text: "LVM2 001", what: "an LVM volume"},
	{at: 0x018, text: "LVM2 001", what: "an LVM volume"},
	{at: 0, text: "LUKS\xba\xbe", what: "an encrypted volume (LUKS)"},
	{at: 0x1018, text: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca", what: "a bcache device"},
	{at: 0, text: "bluestore block device", what: "a disk of Ceph (BlueStore)"},
	{at: 3, text: "-FVE-FS-", what: "an encrypted volume (BitLocker)"},
	{at: 3, text: "NTFS    ", what: "NTFS"},
	{at: 3, text: "EXFAT   ", what: "exFAT"},
	{at: 0x52, text: "FAT32   ", what: "vfat", label: 0x47, size: 11},
	{at: 0x36, text: "FAT1", what: "vfat", label: 0x2b, size: 11},
	{at: 0x438, text: "\x53\xef", what: "ext4", label: 0x478, size: 16},
	{at: 0, text: "XFSB", what: "XFS", label: 0x6c, size: 12},
	{at: 0x10040, text: "_BHRfS_M", what: "btrfs", label: 0x1012b, size: 32},
	{at: 4086, text: "SWAPSPACE2", what: "swap"},
	{at: 0x400, text: "\xe2\xe1\xf5\xe0", what: "EROFS"},
	{at: 0x400, text: "\x10\x20\xf5\xf2", what: "F2FS"},
	{at: 0, text: "hsqs", what: "SquashFS"},
	{at: 0x8001, text: "CD001", what: "ISO 9660", label: 0x8028, size: 32},
	{at: 0x10034, text: "ReIsEr", what: "ReiserFS"},
	{at: 0x8000, text: "JFS1", what: "JFS"},
	{at: 0x20, text: "NXSB", what: "APFS"},
	{at: 0x400, text: "H+", what: "HFS+"},
	{at: 0x100000, text: "\x0d\xd0\x01\xc0", what: "VMFS"},
}

// Signature says what a device of size bytes holds, or nothing.
func Signature(r io.ReaderAt, size int64) string {
	for _, m := range marks {
		if matches(r, size, m.at, m.text) {
			return m.describe(r)
		}
	}
	switch {
	case oldRAID(r, size):
		return "a member of a Linux RAID"
	case zfs(r, size):
		return "a ZFS pool"
	}
	return ""
}

func (m mark) describe(r io.ReaderAt) string {
	if m.size == 0 {
		return m.what
	}
	b := make([]byte, m.size)
	if readFull(r, b, m.label) != nil {
		return m.what
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	if label := strings.TrimSpace(printable(string(b))); label != "" && label != "NO NAME" {
		return fmt.Sprintf("%s %q", m.what, label)
	}
	return m.what
}

func matches(r io.ReaderAt, size, at int64, text string) bool {
	if at < 0 {
		at += size
	}
	if at < 0 || at+int64(len(text)) > size {
		return false
	}
	b := make([]byte, len(text))
	return readFull(r, b, at) == nil && string(b) == text
}

// oldRAID finds metadata of md at the end of a device: version 1.0, 8 to 12 KiB before it,
// and version 0.90, in the last 64 KiB that are aligned to 64 KiB.
func oldRAID(r io.ReaderAt, size int64) bool {
	const magic = "\xfc\x4e\x2b\xa9"
	return matches(r, size, (size/512-16)/8*8*512, magic) || matches(r, size, size/65536*65536-65536, magic)
}

// zfs finds an uberblock in the first label of a pool: 128 places of 1 KiB from 128 KiB on.
func zfs(r io.ReaderAt, size int64) bool {
	const first, places, step = 128 << 10, 128, 1 << 10
	if size < 256<<10 {
		return false
	}
	b := make([]byte, places*step)
	if readFull(r, b, first) != nil {
		return false
	}
	for i := range places {
		if text := string(b[i*step : i*step+8]); text == "\x0c\xb1\xba\x00\x00\x00\x00\x00" || text == "\x00\x00\x00\x00\x00\xba\xb1\x0c" {
			return true
		}
	}
	return false
}

// printable leaves out what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}
