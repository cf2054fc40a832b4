// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"

	"github.com/klauspost/compress/zstd"
)

// A zstdCodec makes a row of zstd frames (RFC 8878), which every decoder reads as one
// file. Each frame has its size and a checksum.
type zstdCodec struct{ encoder *zstd.Encoder }

func newZstd() *zstdCodec {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(true))
	if err != nil {
		panic("BUG: options of zstd: " + err.Error())
	}
	return &zstdCodec{encoder}
}

func (*zstdCodec) begin() []byte { return nil }
func (*zstdCodec) end() []byte   { return nil }

func (z *zstdCodec) encode(out *bytes.Buffer, data []byte) (uint64, error) {
	out.Grow(z.encoder.MaxEncodedSize(len(data)))
	_, err := out.Write(z.encoder.EncodeAll(data, out.AvailableBuffer()))
	return 0, err
}

func (*zstdCodec) wrote(int64, uint64) {}
