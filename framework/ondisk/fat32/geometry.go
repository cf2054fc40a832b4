// SPDX-License-Identifier: Apache-2.0

package fat32

import "fmt"

const (
	fatCount         = 2
	rootCluster      = 2
	entriesPerSector = SectorSize / 4
	// minClusters makes a volume FAT32: only the number of clusters decides the
	// kind of a FAT.
	minClusters = 65525
	// maxSectorsPerCluster gives clusters of 4 KiB, as with mkfs.fat up to 8 GiB.
	maxSectorsPerCluster = 8
	minReserved          = 32
	// dataAlign is in sectors: file contents start on pages of 4 KiB.
	dataAlign = 8
)

// A geometry says where the parts of a volume are. The fields are counts, of sectors
// where nothing else is said.
type geometry struct {
	sectors           uint32
	reserved          uint32
	sectorsPerFAT     uint32
	sectorsPerCluster uint32
	clusters          uint32 // of the data area
	used              uint32 // clusters
	fats              uint32
}

// newGeometry takes the largest cluster size that leaves at least minClusters.
func newGeometry(size int64) (geometry, error) {
	if size%SectorSize != 0 || size <= 0 || size > MaxSize {
		return geometry{}, fmt.Errorf("size of %d bytes: want a multiple of %d, at most %d", size, SectorSize, int64(MaxSize))
	}
	for spc := uint32(maxSectorsPerCluster); spc > 0; spc /= 2 {
		if g := divide(uint32(size/SectorSize), spc); g.clusters >= minClusters {
			return g, nil
		}
	}
	return geometry{}, fmt.Errorf("size of %d bytes is too small: FAT32 has at least %d clusters, about 33 MiB", size, minClusters)
}

// divide solves 128*fat >= clusters+2 with clusters = (sectors-reserved-2*fat)/spc.
func divide(sectors, spc uint32) geometry {
	g := geometry{sectors: sectors, sectorsPerCluster: spc, reserved: minReserved, fats: fatCount}
	if sectors < 2*minReserved {
		return g
	}
	perFAT := entriesPerSector*spc + fatCount
	g.sectorsPerFAT = (sectors - g.reserved + 2*spc + perFAT - 1) / perFAT
	if over := (g.reserved + fatCount*g.sectorsPerFAT) % dataAlign; over != 0 {
		g.reserved += dataAlign - over
	}
	if meta := g.reserved + fatCount*g.sectorsPerFAT; meta < sectors {
		g.clusters = (sectors - meta) / spc
	}
	return g
}

func (g geometry) bytes() int64 { return int64(g.sectors) * SectorSize }

func (g geometry) clusterSize() int64 { return int64(g.sectorsPerCluster) * SectorSize }

func (g geometry) clustersFor(size int64) uint32 {
	return uint32((size + g.clusterSize() - 1) / g.clusterSize())
}

func (g geometry) fatOffset(i int64) int64 {
	return (int64(g.reserved) + i*int64(g.sectorsPerFAT)) * SectorSize
}

func (g geometry) clusterOffset(n uint32) int64 {
	return g.fatOffset(int64(g.fats)) + (int64(n)-rootCluster)*g.clusterSize()
}
