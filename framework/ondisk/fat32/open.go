// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// maxFATSize is the largest FAT, in bytes, that is read into memory: that of a
	// volume of MaxSize with the smallest clusters.
	maxFATSize        = 64 << 20
	maxClusterSectors = 128
	// entryMask leaves out the upper four bits of a FAT's entry, which are reserved.
	entryMask   = 0x0fffffff
	badCluster  = 0x0ffffff7
	firstEnd    = 0x0ffffff8 // from here on an entry ends a chain
	mirroredOff = 0x80       // flag in BPB_ExtFlags: only one FAT is in use
)

// A Volume is an existing file system. It keeps the FAT from the time of Open: after
// Replace, open it again.
type Volume struct {
	geometry
	r      io.ReaderAt
	root   uint32 // first cluster of the root directory
	fsInfo uint32 // sector, or 0
	fat    []byte // the first copy
}

// Open reads the boot sector and the FAT of a file system at the beginning of
// r, which has size bytes. It returns ErrNotFAT32 for anything else (also for
// FAT12, FAT16, and sectors other than 512 bytes), and ErrDamaged.
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	sector := make([]byte, SectorSize)
	if _, err := r.ReadAt(sector, 0); err != nil {
		return nil, fmt.Errorf("reading the boot sector of a FAT32 file system: %w", err)
	}
	v, err := parseBootSector(sector, size)
	if err != nil {
		return nil, fmt.Errorf("opening a FAT32 file system: %w", err)
	}
	v.r = r
	v.fat, err = v.readFAT(r, 0)
	return v, err
}

func parseBootSector(b []byte, size int64) (*Volume, error) {
	le := binary.LittleEndian
	v := &Volume{root: le.Uint32(b[44:]), fsInfo: uint32(le.Uint16(b[48:]))}
	v.geometry = geometry{
		sectors: le.Uint32(b[32:]), reserved: uint32(le.Uint16(b[14:])),
		sectorsPerFAT: le.Uint32(b[36:]), sectorsPerCluster: uint32(b[13]), fats: uint32(b[16]),
	}
	spc := v.sectorsPerCluster
	switch {
	case b[510] != 0x55 || b[511] != 0xaa:
		return nil, fmt.Errorf("%w: its first sector has no signature", ErrNotFAT32)
	case le.Uint16(b[11:]) != SectorSize:
		return nil, fmt.Errorf("%w: sectors of %d bytes, want %d", ErrNotFAT32, le.Uint16(b[11:]), SectorSize)
	case le.Uint16(b[22:]) != 0 || le.Uint16(b[17:]) != 0 || v.sectorsPerFAT == 0:
		return nil, fmt.Errorf("%w: it is FAT12 or FAT16", ErrNotFAT32)
	case spc == 0 || spc > maxClusterSectors || spc&(spc-1) != 0 || v.reserved == 0 || v.fats < 1 || v.fats > 2:
		return nil, fmt.Errorf("%w: %d sectors in a cluster, %d reserved, %d FATs", ErrNotFAT32, spc, v.reserved, v.fats)
	case int64(v.sectors)*SectorSize > size:
		return nil, fmt.Errorf("%w: it has %d sectors, and the device %d", ErrDamaged, v.sectors, size/SectorSize)
	case int64(v.sectorsPerFAT)*SectorSize > maxFATSize:
		return nil, fmt.Errorf("%w of a size that is supported: a FAT of %d sectors", ErrNotFAT32, v.sectorsPerFAT)
	case b[40]&mirroredOff != 0:
		return nil, fmt.Errorf("%w of a kind that is supported: its FATs are not mirrored", ErrNotFAT32)
	}
	return v, v.countClusters()
}

func (v *Volume) countClusters() error {
	meta := int64(v.reserved) + int64(v.fats)*int64(v.sectorsPerFAT)
	v.clusters = uint32(max(0, (int64(v.sectors)-meta)/int64(v.sectorsPerCluster)))
	if v.clusters == 0 || v.clusters+rootCluster > v.sectorsPerFAT*entriesPerSector {
		return fmt.Errorf("%w: %d clusters with a FAT of %d sectors", ErrDamaged, v.clusters, v.sectorsPerFAT)
	}
	if v.fsInfo >= v.reserved {
		v.fsInfo = 0
	}
	return nil
}

func (v *Volume) readFAT(r io.ReaderAt, i int64) ([]byte, error) {
	b := make([]byte, int64(v.sectorsPerFAT)*SectorSize)
	if _, err := r.ReadAt(b, v.fatOffset(i)); err != nil {
		return nil, fmt.Errorf("reading the FAT: %w", err)
	}
	return b, nil
}

func (v *Volume) next(cluster uint32) uint32 {
	return binary.LittleEndian.Uint32(v.fat[4*cluster:]) & entryMask
}

// set changes an entry of the FAT, and keeps its reserved bits.
func (v *Volume) set(cluster, value uint32) {
	b := v.fat[4*cluster:]
	binary.LittleEndian.PutUint32(b, binary.LittleEndian.Uint32(b)&^entryMask|value)
}

func (v *Volume) valid(cluster uint32) bool {
	return cluster >= rootCluster && cluster < rootCluster+v.clusters
}

// chain lists the clusters from first to the end.
func (v *Volume) chain(first uint32) ([]uint32, error) {
	var list []uint32
	for at := first; at < firstEnd; at = v.next(at) {
		if !v.valid(at) {
			return nil, fmt.Errorf("%w: the chain from cluster %d leads to %d", ErrDamaged, first, at)
		}
		if list = append(list, at); len(list) > int(v.clusters) {
			return nil, fmt.Errorf("%w: the chain from cluster %d has no end", ErrDamaged, first)
		}
	}
	return list, nil
}
