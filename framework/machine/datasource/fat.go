// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"encoding/binary"
	"io"
)

// fatTable is a file allocation table. The reader of go-diskfs follows its chains
// without a check for cycles, so we check first.
type fatTable struct {
	bits     int // per entry: 12, 16 or 32
	clusters uint32
	data     []byte
}

// readTable reads the first table of a file system. fatLabel has accepted its boot
// sector.
func readTable(r io.ReaderAt) (*fatTable, bool) {
	b := make([]byte, 512)
	if _, err := r.ReadAt(b, 0); err != nil || b[13] == 0 {
		return nil, false
	}
	le := binary.LittleEndian
	rootEntries, reserved := uint32(le.Uint16(b[17:])), uint32(le.Uint16(b[14:]))
	total, size := uint32(le.Uint16(b[19:])), uint32(le.Uint16(b[22:]))
	if total == 0 {
		total = le.Uint32(b[32:])
	}
	if rootEntries == 0 {
		size = le.Uint32(b[36:])
	}
	before := reserved + 2*size + (rootEntries*32+511)/512
	if size == 0 || size > maxFATSectors || total <= before {
		return nil, false
	}
	t := &fatTable{clusters: (total - before) / uint32(b[13]), data: make([]byte, size*512)}
	t.bits = fatBits(rootEntries, t.clusters)
	// Some writers count a few more clusters than their table has entries.
	t.clusters = min(t.clusters, size*512*8/uint32(t.bits)-3)
	_, err := r.ReadAt(t.data, int64(reserved)*512)
	return t, err == nil
}

// fatBits tells FAT12 from FAT16 by the number of clusters, as Microsoft's
// specification does. A volume without root entries is FAT32.
func fatBits(rootEntries, clusters uint32) int {
	switch {
	case rootEntries == 0:
		return 32
	case clusters < 4085:
		return 12
	}
	return 16
}

func (t *fatTable) next(cluster uint32) uint32 {
	le := binary.LittleEndian
	switch t.bits {
	case 12:
		pair := uint32(le.Uint16(t.data[cluster+cluster/2:]))
		return pair >> (4 * (cluster & 1)) & 0xfff
	case 16:
		return uint32(le.Uint16(t.data[2*cluster:]))
	}
	return le.Uint32(t.data[4*cluster:]) & 0x0fffffff
}

// ends tells whether every chain ends: none has a cycle.
func (t *fatTable) ends() bool {
	seen := make([]uint32, t.clusters+2) // the start of the walk that came here
	for start := uint32(2); start < t.clusters+2; start++ {
		for at := start; at >= 2 && at < t.clusters+2 && seen[at] != start; at = t.next(at) {
			if seen[at] != 0 {
				break // an earlier walk ended from here
			}
			seen[at] = start
			if next := t.next(at); next >= 2 && next < t.clusters+2 && seen[next] == start {
				return false
			}
		}
	}
	return true
}

// fatBounded tells whether the reader terminates on this file system.
func fatBounded(r io.ReaderAt) bool {
	t, ok := readTable(r)
	return ok && t.ends()
}
