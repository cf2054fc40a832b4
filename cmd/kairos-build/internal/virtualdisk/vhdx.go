// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// VHDX (Microsoft, [MS-VHDX]), little-endian. The file is
//
//	1 MiB of headers: identifier, two headers, two region tables, each in 64 KiB
//	1 MiB of log, empty
//	1 MiB of metadata
//	the block allocation table
//	blocks of 1 MiB
//
// The table has an entry of 64 bits for each block, the MiB in the file with a state below
// it, and after each 4096 of them one for a bitmap, which only differencing disks use.
const (
	vhdxBlock    = chunkSize
	vhdxUnit     = 64 << 10
	vhdxLog      = 1 << 20 // offset, and size
	vhdxMetadata = 2 << 20
	vhdxTable    = 3 << 20
	vhdxPresent  = 6    // state "fully present"
	vhdxPerChunk = 4096 // blocks: (1 << 23) sectors * 512 / vhdxBlock
)

// Identifiers of regions and of items of metadata.
const (
	regionTable    = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	regionMetadata = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
	itemParameters = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
	itemSize       = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
	itemPage83     = "BECA12AB-B2E6-4523-93EF-C309E000C746"
	itemLogical    = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
	itemPhysical   = "CDA348C7-445D-4471-9CC9-E9885251C556"
)

// A vhdx writes a dynamic VHDX.
type vhdx struct {
	to   sink
	data spans // in blocks
}

func openVHDX(_ context.Context, d Disk, to sink) (writer, error) {
	v := &vhdx{to, ranges(d.Extents, vhdxBlock)}
	for _, part := range [][]byte{vhdxHeaders(d), make([]byte, vhdxMetadata-vhdxLog), vhdxMetadataRegion(d), v.table(d)} {
		if _, err := to.Write(part); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func vhdxSize(d Disk) int64 {
	return vhdxTable + vhdxTableSize(d) + ranges(d.Extents, vhdxBlock).size()
}

// vhdxTableSize is the size of the block allocation table, in bytes.
func vhdxTableSize(d Disk) int64 {
	n := blocks(d.Size, vhdxBlock)
	return roundUp(8*(n+(n-1)/vhdxPerChunk), 1<<20)
}

func (v *vhdx) table(d Disk) []byte {
	table := make([]byte, vhdxTableSize(d))
	next := uint64(vhdxTable + vhdxTableSize(d))
	v.data.each(vhdxBlock, func(at int64) {
		i := at / vhdxBlock
		binary.LittleEndian.PutUint64(table[8*(i+i/vhdxPerChunk):], next|vhdxPresent)
		next += vhdxBlock
	})
	return table
}

func (v *vhdx) chunk(c *chunk) error {
	if len(v.data.within(c.offset, c.offset+chunkSize)) == 0 {
		return nil
	}
	return v.to.put(c)
}

func (*vhdx) close() error { return nil }

// vhdxHeaders is the first MiB.
func vhdxHeaders(d Disk) []byte {
	b := make([]byte, vhdxLog)
	copy(b, "vhdxfile")
	for i, x := range utf16.Encode([]rune("kairos-build")) {
		binary.LittleEndian.PutUint16(b[8+2*i:], x)
	}
	for i := range 2 {
		vhdxHeader(b[(1+i)*vhdxUnit:][:4096], d, uint64(i))
		vhdxRegions(b[(3+i)*vhdxUnit:][:vhdxUnit], d)
	}
	return b
}

// vhdxHeader fills a header of 4 KiB. The one with the higher number counts.
func vhdxHeader(b []byte, d Disk, number uint64) {
	le := binary.LittleEndian
	file, data := d.id("vhdx file").OnDisk(), d.id("vhdx data").OnDisk()
	copy(b, "head")
	le.PutUint64(b[8:], number)
	copy(b[16:], file[:])
	copy(b[32:], data[:])
	le.PutUint16(b[66:], 1) // version
	le.PutUint32(b[68:], vhdxMetadata-vhdxLog)
	le.PutUint64(b[72:], vhdxLog)
	vhdxSum(b)
}

// vhdxSum fills in the CRC-32C of a structure.
func vhdxSum(b []byte) {
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func vhdxRegions(b []byte, d Disk) {
	le := binary.LittleEndian
	copy(b, "regi")
	le.PutUint32(b[8:], 2)
	put := func(b []byte, id string, offset, size int64) {
		copy(b, guid(id))
		le.PutUint64(b[16:], uint64(offset))
		le.PutUint32(b[24:], uint32(size))
		le.PutUint32(b[28:], 1) // a reader must know it
	}
	put(b[16:], regionTable, vhdxTable, vhdxTableSize(d))
	put(b[48:], regionMetadata, vhdxMetadata, vhdxTable-vhdxMetadata)
	vhdxSum(b)
}

// vhdxMetadataRegion is a table of 64 KiB, and the items behind it.
func vhdxMetadataRegion(d Disk) []byte {
	const virtual, required = 2, 4
	le := binary.LittleEndian
	page83 := d.id("vhdx page 83").OnDisk()
	items := []struct {
		id    string
		flags uint32
		data  []byte
	}{
		{itemParameters, required, le.AppendUint64(nil, vhdxBlock)},
		{itemSize, required | virtual, le.AppendUint64(nil, uint64(d.Size))},
		{itemPage83, required | virtual, page83[:]},
		{itemLogical, required | virtual, le.AppendUint32(nil, sectorSize)},
		{itemPhysical, required | virtual, le.AppendUint32(nil, blockSize)},
	}
	b := make([]byte, vhdxTable-vhdxMetadata)
	copy(b, "metadata")
	le.PutUint16(b[10:], uint16(len(items)))
	at := vhdxUnit
	for i, item := range items {
		entry := b[32*(1+i):]
		copy(entry, guid(item.id))
		le.PutUint32(entry[16:], uint32(at))
		le.PutUint32(entry[20:], uint32(len(item.data)))
		le.PutUint32(entry[24:], item.flags)
		at += copy(b[at:], item.data)
	}
	return b
}

// guid are the bytes of an identifier on disk.
func guid(text string) []byte {
	id, err := gpt.ParseGUID(text)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	b := id.OnDisk()
	return b[:]
}
