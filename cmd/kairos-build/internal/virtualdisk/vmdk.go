// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// VMDK, subformat streamOptimized (VMware, "Virtual Disk Format 5.0"), little-endian:
//
//	header · descriptor · grains and their tables · directory · footer · end of stream
//
// A grain is 64 KiB of the disk, compressed with zlib, behind a marker with its first
// sector on the disk and its compressed size. Everything begins at a sector. A table with
// the sectors of 512 grains follows the last of them; the directory has the sectors of
// the tables. A grain without data is not there.
const (
	grain        = 64 << 10
	perGrains    = 512               // grains of a table
	grainTable   = grain * perGrains // bytes of the disk that a table maps
	vmdkOverhead = 128               // sectors of header and descriptor
	vmdkAtEnd    = uint64(1<<64 - 1) // the directory is named in the footer
	vmdkLevel    = 1                 // of deflate: docs/artifacts.md has figures
	grainMarker  = 12                // bytes
)

// Kinds of markers.
const (
	markerEnd = iota
	markerTable
	markerDirectory
	markerFooter
)

// A vmdk writes a streamOptimized VMDK.
type vmdk struct {
	to        *file
	size      int64
	id        [4]byte
	data      spans // in grains
	same      map[int64]int64
	work      *ordered[grains]
	deflaters *deflaters
	memory    sync.Pool        // of *bytes.Buffer
	sectors   map[int64]uint32 // where each grain is, by its number
	directory []uint32
	table     int64 // that the last grain is in; -1: none
}

// grains are the grains of a chunk.
type grains struct {
	first []int64       // offset on the disk of each
	at    []int64       // of its marker, in bytes
	out   *bytes.Buffer // with markers; nil for a copy
	from  []int64       // for a copy: the grains to copy, by their offsets on the disk
}

func openVMDK(ctx context.Context, d Disk, to sink) (writer, error) {
	out, ok := to.(*file)
	if !ok {
		panic("BUG: a VMDK is compressed already")
	}
	v := &vmdk{
		to: out, size: d.Size, data: ranges(d.Extents, grain), same: twins(d.Extents),
		sectors: map[int64]uint32{}, directory: make([]uint32, blocks(d.Size, grainTable)), table: -1,
		deflaters: newDeflaters(vmdkLevel),
	}
	v.memory.New = func() any { return new(bytes.Buffer) }
	id := d.id("vmdk")
	copy(v.id[:], id[:])
	head := make([]byte, vmdkOverhead*sectorSize)
	copy(head, v.header(vmdkAtEnd))
	copy(head[sectorSize:], v.descriptor())
	_, err := out.Write(head)
	v.work = newOrdered(ctx, v.use)
	return v, err
}

// header begins the file, and is a part of the footer.
func (v *vmdk) header(directory uint64) []byte {
	const newlines, compressed, markers = 1, 1 << 16, 1 << 17
	le := binary.LittleEndian
	h := make([]byte, sectorSize)
	copy(h, "KDMV")
	le.PutUint32(h[4:], 3) // version
	le.PutUint32(h[8:], newlines|compressed|markers)
	le.PutUint64(h[12:], uint64(v.size/sectorSize))
	le.PutUint64(h[20:], grain/sectorSize)
	le.PutUint64(h[28:], 1) // descriptor: its sector and its sectors
	le.PutUint64(h[36:], vmdkOverhead-1)
	le.PutUint32(h[44:], perGrains)
	le.PutUint64(h[56:], directory)
	le.PutUint64(h[64:], vmdkOverhead)
	copy(h[73:], "\n \r\n") // shows a transfer as text
	le.PutUint16(h[77:], 1) // deflate
	return h
}

// descriptor is the text for VMware. The identifier must be neither 0 nor ffffffff.
func (v *vmdk) descriptor() string {
	id := binary.BigEndian.Uint32(v.id[:])&0x7fffffff | 1
	sectors := v.size / sectorSize
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=%08x
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW %d SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "10"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
`, id, sectors, min(sectors/(255*63), 65535))
}

func (v *vmdk) chunk(c *chunk) error {
	var list []int64
	v.data.within(c.offset, c.offset+chunkSize).each(grain, func(at int64) { list = append(list, at) })
	if len(list) == 0 {
		return nil
	}
	if c.twin >= 0 {
		return v.work.do(func() (grains, error) { return grains{first: list, from: moved(list, c.twin-c.offset)}, nil })
	}
	c.hold()
	return v.work.do(func() (grains, error) { return v.compress(c, list) })
}

func moved(list []int64, by int64) []int64 {
	var all []int64
	for _, x := range list {
		all = append(all, x+by)
	}
	return all
}

// compress compresses the grains of a chunk, and lets it go.
func (v *vmdk) compress(c *chunk, list []int64) (grains, error) {
	defer c.release()
	g := grains{first: list, out: v.buffer()}
	data, err := c.bytes()
	if err != nil {
		return g, err
	}
	err = v.deflaters.with(g.out, func(w *flate.Writer) error {
		for _, at := range list {
			g.at = append(g.at, int64(g.out.Len()))
			if err := putGrain(g.out, w, at, data[at-c.offset:][:grain]); err != nil {
				return err
			}
		}
		return nil
	})
	return g, err
}

// buffer is empty memory for grains.
func (v *vmdk) buffer() *bytes.Buffer {
	b := v.memory.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

// putGrain writes a grain with its marker, up to a whole sector. The data is in the zlib
// format (RFC 1950).
func putGrain(out *bytes.Buffer, w *flate.Writer, at int64, data []byte) error {
	start := out.Len()
	out.Write(make([]byte, grainMarker))
	out.Write([]byte{0x78, 0x5e})
	w.Reset(out)
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	out.Write(binary.BigEndian.AppendUint32(nil, adler32.Checksum(data)))
	marker := out.Bytes()[start:]
	binary.LittleEndian.PutUint64(marker, uint64(at/sectorSize))
	binary.LittleEndian.PutUint32(marker[8:], uint32(len(marker)-grainMarker))
	out.Write(make([]byte, roundUp(int64(len(marker)), sectorSize)-int64(len(marker))))
	return nil
}

// use writes the grains of the next chunk. A table never ends within a chunk.
func (v *vmdk) use(g grains) error {
	if table := g.first[0] / grainTable; table != v.table {
		if err := v.endTable(); err != nil {
			return err
		}
		v.table = table
	}
	if g.from != nil {
		if err := v.copy(&g); err != nil {
			return err
		}
	}
	for i, at := range g.at {
		v.sectors[g.first[i]/grain] = uint32((v.to.at + at) / sectorSize)
	}
	_, err := v.to.Write(g.out.Bytes())
	v.memory.Put(g.out)
	return err
}

// copy reads grains that were written before, and gives them other places on the disk.
// They are one behind the other in the file.
func (v *vmdk) copy(g *grains) error {
	start := int64(v.sectors[g.from[0]/grain]) * sectorSize
	var marker [grainMarker]byte
	last := int64(v.sectors[g.from[len(g.from)-1]/grain]) * sectorSize
	if _, err := v.to.ReadAt(marker[:], last); err != nil {
		return fmt.Errorf("reading what was written at %d: %w", last, err)
	}
	end := last + roundUp(grainMarker+int64(binary.LittleEndian.Uint32(marker[8:])), sectorSize)
	g.out = v.buffer()
	if _, err := io.Copy(g.out, io.NewSectionReader(v.to, start, end-start)); err != nil {
		return fmt.Errorf("reading what was written at %d: %w", start, err)
	}
	for i, from := range g.from {
		at := int64(v.sectors[from/grain])*sectorSize - start
		g.at = append(g.at, at)
		binary.LittleEndian.PutUint64(g.out.Bytes()[at:], uint64(g.first[i]/sectorSize))
	}
	return nil
}

// endTable writes the table of the last grains.
func (v *vmdk) endTable() error {
	if v.table < 0 {
		return nil
	}
	table := make([]byte, 4*perGrains)
	for i := range int64(perGrains) {
		binary.LittleEndian.PutUint32(table[4*i:], v.sectors[v.table*perGrains+i])
	}
	at, err := v.marked(markerTable, table)
	v.directory[v.table] = at
	return err
}

// marked writes a marker, and data that it names. It returns the sector of the data.
func (v *vmdk) marked(kind uint32, data []byte) (uint32, error) {
	padded := make([]byte, sectorSize+roundUp(int64(len(data)), sectorSize))
	binary.LittleEndian.PutUint64(padded, uint64(len(padded)/sectorSize-1))
	binary.LittleEndian.PutUint32(padded[12:], kind)
	copy(padded[sectorSize:], data)
	at := uint32(v.to.at/sectorSize + 1)
	_, err := v.to.Write(padded)
	return at, err
}

func (v *vmdk) close() error {
	if err := v.work.close(); err != nil {
		return err
	}
	if err := v.endTable(); err != nil {
		return err
	}
	var directory []byte
	for _, at := range v.directory {
		directory = binary.LittleEndian.AppendUint32(directory, at)
	}
	at, err := v.marked(markerDirectory, directory)
	if err != nil {
		return err
	}
	if _, err := v.marked(markerFooter, v.header(uint64(at))); err != nil {
		return err
	}
	_, err = v.marked(markerEnd, nil)
	return err
}
