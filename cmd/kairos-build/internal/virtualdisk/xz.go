// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/ulikunitz/xz"
)

// Sizes in an xz file, in bytes.
const xzHeader, xzFooter = 12, 12

// An xzCodec makes an xz file with one stream of many blocks, as `xz --block-size` does
// (https://tukaani.org/xz/xz-file-format.txt): a header, the blocks, an index with the
// sizes of each block, a footer. The library makes a file for each segment; its only block
// is a block of ours.
type xzCodec struct {
	header  []byte
	records []byte // of the index
	blocks  uint64
}

func (x *xzCodec) begin() []byte {
	whole, err := compressXZ(nil)
	if err != nil {
		panic("BUG: xz of nothing: " + err.Error())
	}
	x.header = whole[:xzHeader]
	return x.header
}

// encode notes the size of the block without its padding.
func (*xzCodec) encode(out *bytes.Buffer, data []byte) (uint64, error) {
	whole, err := compressXZ(data)
	if err != nil {
		return 0, err
	}
	block, unpadded, err := onlyBlock(whole)
	out.Write(block)
	return unpadded, err
}

func compressXZ(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := xz.WriterConfig{DictCap: chunkSize, CheckSum: xz.CRC32}.NewWriter(&out)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// onlyBlock cuts the block out of an xz file with one. unpadded is its size without
// padding, as its index has it.
func onlyBlock(whole []byte) (block []byte, unpadded uint64, err error) {
	errShape := errors.New("BUG: the xz library wrote no file with one block")
	if len(whole) < xzHeader+xzFooter {
		return nil, 0, errShape
	}
	footer := whole[len(whole)-xzFooter:]
	index := (int(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	end := len(whole) - xzFooter - index
	if end < xzHeader || whole[end] != 0 || whole[end+1] != 1 {
		return nil, 0, errShape
	}
	unpadded, n := binary.Uvarint(whole[end+2:])
	block = whole[xzHeader:end]
	if n <= 0 || roundUp(int64(unpadded), 4) != int64(len(block)) {
		return nil, 0, errShape
	}
	return block, unpadded, nil
}

// wrote adds a record to the index.
func (x *xzCodec) wrote(size int64, unpadded uint64) {
	x.blocks++
	x.records = binary.AppendUvarint(x.records, unpadded)
	x.records = binary.AppendUvarint(x.records, uint64(size))
}

// end is the index and the footer.
func (x *xzCodec) end() []byte {
	index := append(binary.AppendUvarint([]byte{0}, x.blocks), x.records...)
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	flags := x.header[6:8]
	tail := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	footer := append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(tail)), tail...)
	return append(append(index, footer...), "YZ"...)
}
