// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An overwrite replaces bytes at an offset.
type overwrite struct {
	offset int64
	data   []byte
}

// A Relabeled reads a file system with another label and volume ID.
type Relabeled struct {
	r     io.ReaderAt
	edits []overwrite
	// Size of the file system, in bytes.
	Size int64
}

// Relabel returns a reader for the file system in r, which Write made with a label,
// as if it had another label and volume ID. The label is in the boot sector, in its
// copy, and in the first entry of the root directory. Relabel returns an error if r
// is not such a file system.
func Relabel(r io.ReaderAt, label string, id uint32) (*Relabeled, error) {
	raw, err := encodeLabel(label)
	if err != nil {
		return nil, err
	}
	boot := make([]byte, SectorSize)
	if _, err := r.ReadAt(boot, 0); err != nil {
		return nil, fmt.Errorf("reading the boot sector of a FAT32 file system: %w", err)
	}
	g, err := parseGeometry(boot)
	if err != nil {
		return nil, err
	}
	root := g.clusterOffset(rootCluster)
	entry := make([]byte, entrySize)
	if _, err := r.ReadAt(entry, root); err != nil {
		return nil, fmt.Errorf("reading the root directory of a FAT32 file system: %w", err)
	}
	if entry[11] != attrVolumeID {
		return nil, errors.New("FAT32 file system: its root directory does not begin with a label")
	}
	names := append(binary.LittleEndian.AppendUint32(nil, id), raw[:]...)
	return &Relabeled{r: r, Size: g.bytes(), edits: []overwrite{
		{67, names}, {backupBootSector*SectorSize + 67, names}, {root, raw[:]},
	}}, nil
}

// parseGeometry reads the boot sector of a file system that Write made.
func parseGeometry(b []byte) (geometry, error) {
	le := binary.LittleEndian
	g := geometry{
		sectors: le.Uint32(b[32:]), reserved: uint32(le.Uint16(b[14:])),
		sectorsPerFAT: le.Uint32(b[36:]), sectorsPerCluster: uint32(b[13]), fats: fatCount,
	}
	switch {
	case b[510] != 0x55 || b[511] != 0xaa || string(b[82:90]) != "FAT32   ":
		return g, errors.New("no FAT32 file system")
	case b[16] != fatCount || le.Uint32(b[44:]) != rootCluster || b[66] != 0x29 || g.reserved < minReserved:
		return g, errors.New("a FAT32 file system that is not of our making")
	}
	return g, nil
}

// ReadAt implements io.ReaderAt.
func (l *Relabeled) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.r.ReadAt(p, off)
	for _, e := range l.edits {
		from, to := max(e.offset, off), min(e.offset+int64(len(e.data)), off+int64(n))
		if from < to {
			copy(p[from-off:to-off], e.data[from-e.offset:])
		}
	}
	return n, err
}
