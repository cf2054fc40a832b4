// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

const (
	attrVolumeID  = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	// Lower-case flags of byte 12, as Windows NT, Linux and EDK II read them.
	lowerBase = 0x08
	lowerExt  = 0x10
)

// noLabel is the text in the boot sector when there is no label.
var noLabel = [11]byte([]byte("NO NAME    "))

// A shortName is an 8.3 name as in a directory entry.
type shortName struct {
	raw   [11]byte // upper case, padded with spaces
	lower byte     // lowerBase, lowerExt
}

func encodeName(s string) (shortName, error) {
	base, ext, dotted := strings.Cut(s, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || dotted && ext == "" {
		return shortName{}, fmt.Errorf("%q is not an 8.3 name", s)
	}
	n := shortName{raw: [11]byte([]byte("           "))}
	for _, part := range []struct {
		text string
		at   int
		flag byte
	}{{base, 0, lowerBase}, {ext, 8, lowerExt}} {
		upper := strings.ToUpper(part.text)
		if err := checkChars(upper, "!#$%&'()-@^_`{}~"); err != nil {
			return shortName{}, fmt.Errorf("%q is not an 8.3 name: %w", s, err)
		}
		switch part.text {
		case upper:
		case strings.ToLower(part.text):
			n.lower |= part.flag
		default:
			return shortName{}, fmt.Errorf("%q mixes upper and lower case, which an 8.3 name cannot hold", s)
		}
		copy(n.raw[part.at:], upper)
	}
	return n, nil
}

// checkChars accepts letters A-Z, digits, and the characters in also.
func checkChars(s, also string) error {
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(also, r) {
			return fmt.Errorf("character %q", r)
		}
	}
	return nil
}

func encodeLabel(s string) ([11]byte, error) {
	if s == "" {
		return noLabel, nil
	}
	if err := checkChars(s, "_- "); err != nil || len(s) > len(noLabel) {
		return noLabel, fmt.Errorf("label %q: want at most 11 characters of A-Z, 0-9, _, - and space", s)
	}
	return [11]byte(fmt.Appendf(nil, "%-11s", s)), nil
}

// A stamp is a time as FAT stores it: a date, and a time in steps of 2 s.
type stamp struct{ date, clock uint16 }

func newStamp(t time.Time) stamp {
	t = t.UTC()
	if t.Year() < 1980 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if t.Year() > 2107 {
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	return stamp{
		date:  uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		clock: uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2),
	}
}

// entry returns one directory entry.
func (s stamp) entry(name shortName, attr byte, first uint32, size int) []byte {
	b := make([]byte, entrySize)
	le := binary.LittleEndian
	copy(b, name.raw[:])
	b[11] = attr
	b[12] = name.lower
	le.PutUint16(b[14:], s.clock) // created
	le.PutUint16(b[16:], s.date)
	le.PutUint16(b[18:], s.date) // last access
	le.PutUint16(b[20:], uint16(first>>16))
	le.PutUint16(b[22:], s.clock) // last write
	le.PutUint16(b[24:], s.date)
	le.PutUint16(b[26:], uint16(first))
	le.PutUint32(b[28:], uint32(size))
	return b
}

// directory returns the content of directory n.
func (v *volume) directory(n *node) []byte {
	var out []byte
	switch {
	case n.parent != nil:
		out = append(out, v.stamp.entry(dots("."), attrDirectory, n.first, 0)...)
		out = append(out, v.stamp.entry(dots(".."), attrDirectory, n.parent.linkCluster(), 0)...)
	case v.hasLabel():
		out = append(out, v.stamp.entry(shortName{raw: v.label}, attrVolumeID, 0, 0)...)
	}
	for _, c := range n.children {
		attr := byte(attrArchive)
		if c.dir {
			attr = attrDirectory
		}
		out = append(out, v.stamp.entry(c.name, attr, c.first, len(c.data))...)
	}
	return out
}

func dots(s string) shortName { return shortName{raw: [11]byte(fmt.Appendf(nil, "%-11s", s))} }

// linkCluster returns the cluster for "..": 0 means the root directory.
func (n *node) linkCluster() uint32 {
	if n.parent == nil {
		return 0
	}
	return n.first
}
