// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// FAT16 has from minClusters16 to maxClusters16 clusters.
	minClusters16 = 4085
	maxClusters16 = 65524
	// rootEntries is the size of the root directory, which is an area of its own.
	rootEntries      = 512
	rootSectors      = rootEntries * entrySize / SectorSize
	entries16PerSect = SectorSize / 2
	endOfChain16     = 0xffff
)

// MinFAT16 and MaxFAT16 are the smallest and the largest volume, in bytes, that
// WriteFAT16 accepts. The El Torito catalog of a CD-ROM counts sectors of 512 bytes in 16
// bits, so nothing larger can be its EFI image.
const (
	MinFAT16 = 9 << 20
	MaxFAT16 = 31 << 20
)

// WriteFAT16 is Write for a FAT16 file system, which may be smaller than FAT32 can be: the
// EFI image of a CD-ROM. Its clusters are CD-ROM sectors of 2048 bytes. The root
// directory holds at most 511 names.
func WriteFAT16(w io.WriterAt, size int64, files []File, o Options) error {
	v, err := plan16(size, files, o)
	if err != nil {
		return fmt.Errorf("laying out FAT16 file system %q: %w", o.Label, err)
	}
	if err := v.write(w); err != nil {
		return fmt.Errorf("writing FAT16 file system %q: %w", o.Label, err)
	}
	return nil
}

// SizeFAT16 returns the size in bytes, a multiple of 1 MiB, of a FAT16 volume with room
// for files.
func SizeFAT16(files []File) int64 {
	const mib, cluster = 1 << 20, 4 * SectorSize
	size := int64(mib) // FATs, directories
	for _, f := range files {
		size += (int64(len(f.Data))+cluster-1)/cluster*cluster + 2*cluster
	}
	return max((size+mib-1)/mib*mib, MinFAT16)
}

// A volume16 is the plan of a FAT16 file system.
type volume16 struct{ volume }

func plan16(size int64, files []File, o Options) (*volume16, error) {
	if size%SectorSize != 0 || size < MinFAT16 || size > MaxFAT16 {
		return nil, fmt.Errorf("size of %d bytes: want a multiple of %d, from %d to %d: %w", size, SectorSize, MinFAT16, MaxFAT16, ErrNoSpace)
	}
	label, err := encodeLabel(o.Label)
	if err != nil {
		return nil, err
	}
	root, err := newTree(files)
	if err != nil {
		return nil, err
	}
	if len(root.children) >= rootEntries {
		return nil, fmt.Errorf("the root directory has %d names: %w", len(root.children), ErrNoSpace)
	}
	v := &volume16{volume{geometry: divide16(uint32(size / SectorSize)), label: label, id: o.VolumeID, stamp: newStamp(o.Time), root: root}}
	v.nodes = append(root.directories()[1:], root.files()...)
	if v.clusters < minClusters16 || v.clusters > maxClusters16 {
		return nil, errors.New("BUG: the limits of the size are not those of FAT16")
	}
	return v, v.allocate()
}

// divide16 solves 256*fat >= clusters+2 with clusters = (sectors-reserved-2*fat-root)/4.
// The first cluster begins on a sector of a CD-ROM.
func divide16(sectors uint32) geometry {
	const spc = 4
	g := geometry{sectors: sectors, sectorsPerCluster: spc, reserved: 1, fats: fatCount}
	perFAT := uint32(entries16PerSect*spc + fatCount)
	g.sectorsPerFAT = (sectors - g.reserved - rootSectors + 2*spc + perFAT - 1) / perFAT
	if over := (g.reserved + fatCount*g.sectorsPerFAT) % spc; over != 0 {
		g.reserved += spc - over
	}
	g.clusters = (sectors - g.reserved - fatCount*g.sectorsPerFAT - rootSectors) / spc
	return g
}

func (v *volume16) rootOffset() int64 { return v.fatOffset(fatCount) }

func (v *volume16) write(w io.WriterAt) error {
	data := offsetWriter{w, rootSectors * SectorSize} // clusters come behind the root directory
	for _, n := range v.nodes {
		if err := v.writeNode(data, n); err != nil {
			return err
		}
	}
	root := make([]byte, rootSectors*SectorSize)
	copy(root, v.directory(v.root))
	if err := writeAt(w, root, v.rootOffset()); err != nil {
		return err
	}
	fat := v.fat()
	for i := range int64(fatCount) {
		if err := writeAt(w, fat, v.fatOffset(i)); err != nil {
			return err
		}
	}
	reserved := make([]byte, int64(v.reserved)*SectorSize)
	copy(reserved, v.bootSector())
	return writeAt(w, reserved, 0)
}

// An offsetWriter writes further behind.
type offsetWriter struct {
	io.WriterAt
	by int64
}

func (o offsetWriter) WriteAt(p []byte, at int64) (int, error) { return o.WriterAt.WriteAt(p, at+o.by) }

func (v *volume16) fat() []byte {
	fat := make([]byte, int64(v.sectorsPerFAT)*SectorSize)
	set := func(cluster, value uint32) { binary.LittleEndian.PutUint16(fat[2*cluster:], uint16(value)) }
	set(0, 0xff00|mediaFixed)
	set(1, endOfChain16)
	for _, n := range v.nodes {
		for i := range n.clusters {
			set(n.first+i, n.first+i+1)
		}
		if n.clusters > 0 {
			set(n.first+n.clusters-1, endOfChain16)
		}
	}
	return fat
}

// bootSector is as in FAT32, with the fields of FAT16.
func (v *volume16) bootSector() []byte {
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	copy(b[0:], "\xeb\x3c\x90mkfs.fat")
	le.PutUint16(b[11:], SectorSize)         // BPB_BytsPerSec
	b[13] = byte(v.sectorsPerCluster)        // BPB_SecPerClus
	le.PutUint16(b[14:], uint16(v.reserved)) // BPB_RsvdSecCnt
	b[16] = fatCount                         // BPB_NumFATs
	le.PutUint16(b[17:], rootEntries)        // BPB_RootEntCnt
	if v.sectors <= 0xffff {                 // or it is in BPB_TotSec32
		le.PutUint16(b[19:], uint16(v.sectors)) // BPB_TotSec16
	} else {
		le.PutUint32(b[32:], v.sectors) // BPB_TotSec32
	}
	b[21] = mediaFixed                            // BPB_Media
	le.PutUint16(b[22:], uint16(v.sectorsPerFAT)) // BPB_FATSz16
	le.PutUint16(b[24:], 63)                      // BPB_SecPerTrk
	le.PutUint16(b[26:], 255)                     // BPB_NumHeads
	b[36] = 0x80                                  // BS_DrvNum
	b[38] = 0x29                                  // BS_BootSig
	le.PutUint32(b[39:], v.id)                    // BS_VolID
	copy(b[43:], v.label[:])                      // BS_VolLab
	copy(b[54:], "FAT16   ")                      // BS_FilSysType
	copy(b[62:], "\xf4\xeb\xfd")                  // hlt; jmp to it
	return signed(b)
}
