// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/flate"
)

// deflateLevel is a compromise of time and size: docs/artifacts.md has figures.
const deflateLevel = 5

// A gzipCodec makes a gzip file (RFC 1952) with one member. Each segment is a row of
// deflate blocks that ends at a byte, with an empty stored block (a sync flush), and uses
// no data before it.
type gzipCodec struct {
	crc  uint32
	size uint32
}

func (*gzipCodec) begin() []byte {
	// Magic, deflate, no flags, no time, no hint, operating system unknown.
	return []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}
}

func (*gzipCodec) encode(data []byte) ([]byte, uint64, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, deflateLevel)
	if err != nil {
		return nil, 0, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, 0, err
	}
	err = w.Flush()
	return out.Bytes(), 0, err
}

func (g *gzipCodec) wrote(data []byte, _ uint64) {
	g.crc = crc32.Update(g.crc, crc32.IEEETable, data)
	g.size += uint32(len(data))
}

// end is an empty last block, and the trailer.
func (g *gzipCodec) end() []byte {
	end := binary.LittleEndian.AppendUint32([]byte{3, 0}, g.crc)
	return binary.LittleEndian.AppendUint32(end, g.size)
}
