// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"encoding/binary"
	"io"
)

const (
	mediaFixed = 0xf8
	endOfChain = 0x0fffffff
	// The first two entries of a FAT: the media byte, and "clean, no errors".
	firstEntry  = 0x0fffff00 | mediaFixed
	secondEntry = 0x0fffffff

	fsInfoSector     = 1
	thirdBootSector  = 2
	backupBootSector = 6
)

// fat returns the file allocation table.
func (v *volume) fat() []byte {
	fat := make([]byte, int64(v.sectorsPerFAT)*SectorSize)
	set := func(cluster, value uint32) { binary.LittleEndian.PutUint32(fat[4*cluster:], value) }
	set(0, firstEntry)
	set(1, secondEntry)
	for _, n := range v.nodes {
		for i := range n.clusters {
			set(n.first+i, n.first+i+1)
		}
		if n.clusters > 0 {
			set(n.first+n.clusters-1, endOfChain)
		}
	}
	return fat
}

// writeReserved writes the reserved area. Sector 0, which makes the volume a file
// system, comes last.
func (v *volume) writeReserved(w io.WriterAt) error {
	area := make([]byte, int64(v.reserved)*SectorSize)
	for _, base := range []int{0, backupBootSector} {
		put := func(sector int, b []byte) { copy(area[(base+sector)*SectorSize:], b) }
		put(0, v.bootSector())
		put(fsInfoSector, v.fsInfo())
		put(thirdBootSector, signed(make([]byte, SectorSize)))
	}
	if err := writeAt(w, area[SectorSize:], SectorSize); err != nil {
		return err
	}
	return writeAt(w, area[:SectorSize], 0)
}

// bootSector returns a boot sector without a program: nothing of ours starts a
// partition by its boot sector, so the jump leads to a halt.
func (v *volume) bootSector() []byte {
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	copy(b[0:], "\xeb\x58\x90mkfs.fat")      // jump, OEM name: some firmware looks at it
	le.PutUint16(b[11:], SectorSize)         // BPB_BytsPerSec
	b[13] = byte(v.sectorsPerCluster)        // BPB_SecPerClus
	le.PutUint16(b[14:], uint16(v.reserved)) // BPB_RsvdSecCnt
	b[16] = fatCount                         // BPB_NumFATs
	b[21] = mediaFixed                       // BPB_Media
	le.PutUint16(b[24:], 63)                 // BPB_SecPerTrk
	le.PutUint16(b[26:], 255)                // BPB_NumHeads
	le.PutUint32(b[32:], v.sectors)          // BPB_TotSec32
	le.PutUint32(b[36:], v.sectorsPerFAT)    // BPB_FATSz32
	le.PutUint32(b[44:], rootCluster)        // BPB_RootClus
	le.PutUint16(b[48:], fsInfoSector)       // BPB_FSInfo
	le.PutUint16(b[50:], backupBootSector)   // BPB_BkBootSec
	b[64] = 0x80                             // BS_DrvNum
	b[66] = 0x29                             // BS_BootSig: the next three are valid
	le.PutUint32(b[67:], v.id)               // BS_VolID
	copy(b[71:], v.label[:])                 // BS_VolLab
	copy(b[82:], "FAT32   ")                 // BS_FilSysType
	copy(b[90:], "\xf4\xeb\xfd")             // hlt; jmp to it
	return signed(b)
}

func (v *volume) fsInfo() []byte {
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	copy(b[0:], "RRaA")
	copy(b[484:], "rrAa")
	le.PutUint32(b[488:], v.clusters-v.used)    // FSI_Free_Count
	le.PutUint32(b[492:], rootCluster+v.used-1) // FSI_Nxt_Free: the last one taken
	return signed(b)
}

func signed(sector []byte) []byte {
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}
