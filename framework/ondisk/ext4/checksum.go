// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is a CRC-32C as in ext4: without the inversions before and after.
type checksum uint32

const checksumStart checksum = 0xFFFFFFFF

func (c checksum) bytes(p []byte) checksum {
	return checksum(^crc32.Update(^uint32(c), castagnoli, p))
}

func (c checksum) number(n uint32) checksum {
	return c.bytes(binary.LittleEndian.AppendUint32(nil, n))
}

func (c checksum) low() uint16  { return uint16(c) }
func (c checksum) high() uint16 { return uint16(c >> 16) }
