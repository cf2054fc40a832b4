// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflateLevel is a compromise of time and size: docs/artifacts.md has figures.
const deflateLevel = 5

// deflaters are compressors of one level. Each has half a megabyte of tables, so they are
// used again.
type deflaters struct{ pool sync.Pool }

func newDeflaters(level int) *deflaters {
	d := &deflaters{}
	d.pool.New = func() any {
		w, err := flate.NewWriter(nil, level)
		if err != nil {
			panic(fmt.Sprintf("BUG: level %d of deflate: %v", level, err))
		}
		return w
	}
	return d
}

// with calls do with a compressor that writes to out.
func (d *deflaters) with(out *bytes.Buffer, do func(*flate.Writer) error) error {
	w := d.pool.Get().(*flate.Writer)
	defer d.pool.Put(w)
	w.Reset(out)
	return do(w)
}

// A gzipCodec makes a gzip file (RFC 1952) with one member. Each segment is a row of
// deflate blocks that ends at a byte, with an empty stored block (a sync flush), and uses
// no data before it. The note of a segment is its CRC-32.
type gzipCodec struct {
	deflaters *deflaters
	crc       uint32
	size      uint32
}

func (*gzipCodec) begin() []byte {
	// Magic, deflate, no flags, no time, no hint, operating system unknown.
	return []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}
}

func (g *gzipCodec) encode(out *bytes.Buffer, data []byte) (uint64, error) {
	err := g.deflaters.with(out, func(w *flate.Writer) error {
		if _, err := w.Write(data); err != nil {
			return err
		}
		return w.Flush()
	})
	return uint64(crc32.ChecksumIEEE(data)), err
}

func (g *gzipCodec) wrote(size int64, note uint64) {
	g.crc = joinCRC(g.crc, uint32(note), size)
	g.size += uint32(size)
}

// end is an empty last block, and the trailer.
func (g *gzipCodec) end() []byte {
	end := binary.LittleEndian.AppendUint32([]byte{3, 0}, g.crc)
	return binary.LittleEndian.AppendUint32(end, g.size)
}

// joinCRC is the CRC-32 of data with the CRC a, and size bytes with the CRC b behind it:
// a CRC is a polynomial modulo another, so a is multiplied by x^(8 size), and b is added
// (zlib has the same as crc32_combine).
func joinCRC(a, b uint32, size int64) uint32 {
	power, shift := uint32(1)<<23, uint32(1)<<31 // x^8 and 1; the highest bit is x^0
	for ; size > 0; size >>= 1 {
		if size&1 != 0 {
			shift = timesCRC(shift, power)
		}
		power = timesCRC(power, power)
	}
	return timesCRC(shift, a) ^ b
}

// timesCRC multiplies two polynomials, modulo that of CRC-32.
func timesCRC(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}
