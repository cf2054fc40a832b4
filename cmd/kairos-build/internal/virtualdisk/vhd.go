// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// VHD (Microsoft, "Virtual Hard Disk Image Format Specification" 1.0), big-endian.
//
// A fixed VHD is the disk with a footer of 512 bytes behind it. A dynamic VHD is
//
//	copy of the footer · dynamic header (1024) · block allocation table · blocks · footer
//
// and a block is a bitmap of its sectors (512 bytes) with 2 MiB of data. Blocks may lie at
// any sector: the data of ours begins at a multiple of 4 KiB, as Hyper-V aligns it, so that
// a file system can share it with the raw disk.
const (
	vhdBlock  = 2 << 20
	vhdMost   = 2040 << 30 // the format's own limit, in bytes
	vhdHeader = 1024
	vhdFixed  = 2 // disk types
	vhdSparse = 3
	vhdNone   = 0xffffffff // block that is not there
	vhdAlign  = blockSize
)

// A dynamicVHD writes a dynamic VHD.
type dynamicVHD struct {
	to     sink
	data   spans // in blocks
	size   int64 // of the disk
	footer []byte
	bitmap []byte // of every block, with what is before it
}

func openVHD(_ context.Context, d Disk, to sink) (writer, error) {
	v := &dynamicVHD{to: to, data: ranges(d.Extents, vhdBlock), size: d.Size, footer: vhdFooter(d, vhdSparse, d.id("vhd"))}
	v.bitmap = append(make([]byte, vhdAlign-sectorSize), bytes.Repeat([]byte{0xff}, sectorSize)...)
	for _, part := range [][]byte{v.footer, vhdDynamicHeader(d), v.table(d)} {
		if _, err := to.Write(part); err != nil {
			return nil, err
		}
	}
	return v, to.zeros(vhdFirst(d) - sectorSize - vhdHeader - vhdTableSize(d))
}

func vhdSize(d Disk) int64 {
	n := ranges(d.Extents, vhdBlock).size() / vhdBlock
	return vhdFirst(d) + n*(vhdAlign+vhdBlock) + sectorSize
}

// vhdEntries is the number of entries of the block allocation table.
func vhdEntries(d Disk) int64 { return blocks(d.Size, vhdBlock) }

func vhdTableSize(d Disk) int64 { return roundUp(4*vhdEntries(d), sectorSize) }

// vhdFirst is where the first block has its place: the bitmap is in the last sector before
// the data.
func vhdFirst(d Disk) int64 { return roundUp(sectorSize+vhdHeader+vhdTableSize(d), vhdAlign) }

// table is the block allocation table: the sector of each block.
func (v *dynamicVHD) table(d Disk) []byte {
	table := bytes.Repeat([]byte{0xff}, int(vhdTableSize(d)))
	next := vhdFirst(d) + vhdAlign - sectorSize
	v.data.each(vhdBlock, func(at int64) {
		binary.BigEndian.PutUint32(table[at/vhdBlock*4:], uint32(next/sectorSize))
		next += vhdAlign + vhdBlock
	})
	return table
}

func (v *dynamicVHD) chunk(c *chunk) error {
	if len(v.data.within(c.offset, c.offset+chunkSize)) == 0 {
		return nil
	}
	if c.offset%vhdBlock == 0 {
		if _, err := v.to.Write(v.bitmap); err != nil {
			return err
		}
	}
	return v.to.put(c)
}

// close ends a block that the end of the disk cuts short, and writes the footer.
func (v *dynamicVHD) close() error {
	if n := len(v.data); n > 0 {
		if err := v.to.zeros(max(0, v.data[n-1].end-v.size)); err != nil {
			return err
		}
	}
	_, err := v.to.Write(v.footer)
	return err
}

func vhdDynamicHeader(d Disk) []byte {
	be := binary.BigEndian
	h := make([]byte, vhdHeader)
	copy(h, "cxsparse")
	be.PutUint64(h[8:], 1<<64-1)               // no further header
	be.PutUint64(h[16:], sectorSize+vhdHeader) // block allocation table
	be.PutUint32(h[24:], 0x00010000)           // version
	be.PutUint32(h[28:], uint32(vhdEntries(d)))
	be.PutUint32(h[32:], vhdBlock)
	be.PutUint32(h[36:], vhdSum(h))
	return h
}

// vhdFooter describes the disk. Programs differ in whether the size of the disk is the
// field "current size" or the product of the geometry, which is smaller: QEMU decides by
// the creator, and "qem2", its own name for files with the exact size, is what Azure's and
// Hyper-V's documents tell people to make.
func vhdFooter(d Disk, kind uint32, id gpt.GUID) []byte {
	be := binary.BigEndian
	f := make([]byte, sectorSize)
	copy(f, "conectix")
	be.PutUint32(f[8:], 2)           // features: always this bit
	be.PutUint32(f[12:], 0x00010000) // version
	be.PutUint64(f[16:], 1<<64-1)
	if kind == vhdSparse {
		be.PutUint64(f[16:], sectorSize) // dynamic header
	}
	copy(f[28:], "qem2")
	be.PutUint32(f[32:], 0x00010000) // version of the creator
	copy(f[36:], "Wi2k")
	be.PutUint64(f[40:], uint64(d.Size))
	be.PutUint64(f[48:], uint64(d.Size))
	cylinders, heads, sectors := vhdGeometry(d.Size / sectorSize)
	be.PutUint16(f[56:], uint16(cylinders))
	f[58], f[59] = byte(heads), byte(sectors)
	be.PutUint32(f[60:], kind)
	copy(f[68:], id[:])
	be.PutUint32(f[64:], vhdSum(f))
	return f
}

// vhdSum is the complement of the sum of all bytes; the field of the sum is zero then.
func vhdSum(b []byte) uint32 {
	sum := uint32(0)
	for _, x := range b {
		sum += uint32(x)
	}
	return ^sum
}

// vhdGeometry is the algorithm of the specification's appendix.
func vhdGeometry(total int64) (cylinders, heads, sectors int64) {
	total = min(total, 65535*16*255)
	if total >= 65535*16*63 {
		return total / 255 / 16, 16, 255
	}
	sectors = 17
	heads = max(4, (total/sectors+1023)/1024)
	if total/sectors >= heads*1024 || heads > 16 {
		sectors, heads = 31, 16
	}
	if total/sectors >= heads*1024 {
		sectors, heads = 63, 16
	}
	return total / sectors / heads, heads, sectors
}

// Azure takes fixed VHDs whose size is a multiple of 1 MiB, which Disk.check makes sure of
// (https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic).
func openAzure(_ context.Context, d Disk, to sink) (writer, error) {
	return &fixed{to: to, size: d.Size, tail: vhdFooter(d, vhdFixed, d.id("azure"))}, nil
}

func azureSize(d Disk) int64 { return dataSize(d) + sectorSize }
