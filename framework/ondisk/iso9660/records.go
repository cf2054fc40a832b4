// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// both16 and both32 are numbers with the little end first and then the big end first.
func both16(n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, n), n)
}

func both32(n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, n), n)
}

// shortTime is a time in 7 bytes (ECMA-119, 9.1.5).
func shortTime(t time.Time) []byte {
	t = t.UTC()
	return []byte{byte(min(max(t.Year()-1900, 0), 255)), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// longTime is a time in 17 bytes (ECMA-119, 8.4.26.1).
func longTime(t time.Time) []byte {
	return append([]byte(t.UTC().Format("20060102150405")+"00"), 0)
}

func noTime() []byte { return append([]byte(strings.Repeat("0", 16)), 0) }

const (
	flagDirectory = 2
	recordSize    = 33 // without the name
	// maxRecord is the longest directory record: its length is one byte, and even.
	maxRecord = 254
)

// record is a directory record (ECMA-119, 9.1). at is its sector on the device of the tree.
func record(name []byte, at, size uint32, dir bool, t time.Time, system []byte) []byte {
	b := make([]byte, 2, maxRecord)
	b = append(b, both32(at)...)
	b = append(b, both32(size)...)
	b = append(b, shortTime(t)...)
	flags := byte(0)
	if dir {
		flags = flagDirectory
	}
	b = append(b, flags, 0, 0)
	b = append(b, both16(1)...)
	b = append(b, byte(len(name)))
	b = append(b, name...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	b = append(b, system...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// Modes of Rock Ridge.
const (
	modeDir  = 0o040555
	modeFile = 0o100444
)

// rockRidge is the system use area of a record (IEEE P1282, RRIP 1.10). The root's own
// record begins with SP and ends with ER, which say that there is Rock Ridge.
func rockRidge(n *node, name string, root bool, t time.Time) []byte {
	var b []byte
	if root {
		b = append(b, 'S', 'P', 7, 1, 0xbe, 0xef, 0)
	}
	mode, links := uint32(modeFile), uint32(1)
	if n.dir {
		mode, links = modeDir, 2
	}
	b = append(b, 'P', 'X', 36, 1)
	for _, v := range []uint32{mode, links, 0, 0} { // mode, links, uid, gid
		b = append(b, both32(v)...)
	}
	b = append(b, 'T', 'F', 5+3*7, 1, 0x0e) // modified, accessed, attributes changed
	for range 3 {
		b = append(b, shortTime(t)...)
	}
	if name != "" {
		b = append(b, 'N', 'M', byte(5+len(name)), 1, 0)
		b = append(b, name...)
	}
	if root {
		b = append(b, 'E', 'R', 8+10, 1, 10, 0, 0, 1)
		b = append(b, "RRIP_1991A"...)
	}
	return b
}

// directory returns the records of a directory, none of them across sectors.
func (p *plan) directory(t *tree, d *node) []byte {
	entry := func(n *node, name []byte, plain string, root bool) []byte {
		at, size := n.sector, uint32(0)
		if n.dir {
			at, size = n.at[t], n.size[t]
		} else {
			size = uint32(n.file.Size)
		}
		var system []byte
		if !t.joliet {
			system = rockRidge(n, plain, root, p.Time)
		}
		return record(name, at-t.base, size, n.dir, p.Time, system)
	}
	records := [][]byte{entry(d, []byte{0}, "", d.parent == d), entry(d.parent, []byte{1}, "", false)}
	for _, c := range d.sorted(t.name) {
		records = append(records, entry(c, t.name(c), c.name, false))
	}
	var b []byte
	for _, r := range records {
		if free := SectorSize - len(b)%SectorSize; free < len(r) {
			b = append(b, make([]byte, free)...)
		}
		b = append(b, r...)
	}
	return b
}

// pathTable is the path table with the little or the big end first (ECMA-119, 9.4).
func (t *tree) pathTable(little bool) []byte {
	var order binary.AppendByteOrder = binary.BigEndian
	if little {
		order = binary.LittleEndian
	}
	var b []byte
	for _, d := range t.dirs {
		name := []byte{0}
		if d.parent != d {
			name = t.name(d)
		}
		b = append(b, byte(len(name)), 0)
		b = order.AppendUint32(b, d.at[t]-t.base)
		b = order.AppendUint16(b, max(d.parent.number[t], 1))
		b = append(b, name...)
		if len(name)%2 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

const (
	typeBootRecord = 0
	typePrimary    = 1
	typeJoliet     = 2
	typeEnd        = 255
)

func descriptor(kind byte) []byte {
	b := make([]byte, SectorSize)
	b[0] = kind
	copy(b[1:], "CD001\x01")
	return b
}

// volume is the primary volume descriptor, or the supplementary one for Joliet (ECMA-119,
// 8.4 and 8.5).
func (p *plan) volume(t *tree) []byte {
	b, text := descriptor(typePrimary), func(s string, n int) []byte { return fmt.Appendf(nil, "%-*s", n, s) }
	if t.joliet {
		b = descriptor(typeJoliet)
		text = func(s string, n int) []byte { return ucs2(s, n) }
		copy(b[88:], "%/E") // UCS-2, level 3
	}
	put := func(at int, data []byte) { copy(b[at:], data) }
	put(8, text("LINUX", 32))
	put(40, text(p.Label, 32))
	put(80, both32(p.sectors-t.base))
	put(120, both16(1)) // volumes
	put(124, both16(1)) // this volume
	put(128, both16(SectorSize))
	put(132, both32(t.tableSize))
	binary.LittleEndian.PutUint32(b[140:], t.tables[0]-t.base)
	binary.BigEndian.PutUint32(b[148:], t.tables[1]-t.base)
	put(156, record([]byte{0}, p.root.at[t]-t.base, p.root.size[t], true, p.Time, nil))
	for _, field := range [][2]int{{190, 128}, {318, 128}, {446, 128}, {574, 128}, {702, 37}, {739, 37}, {776, 37}} {
		put(field[0], text("", field[1]))
	}
	put(813, longTime(p.Time)) // created
	put(830, longTime(p.Time)) // modified
	put(847, noTime())         // expires
	put(864, noTime())         // effective
	b[881] = 1
	return b
}

// ucs2 is a text in n bytes, filled with spaces. An odd last byte is 0.
func ucs2(s string, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+1 < n; i += 2 {
		b[i+1] = ' '
		if i/2 < len(s) {
			b[i+1] = s[i/2]
		}
	}
	return b
}
