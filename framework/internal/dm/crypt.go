// SPDX-License-Identifier: Apache-2.0

package dm

import (
	"encoding/hex"
	"fmt"
)

// Crypt describes a dm-crypt mapping of the data of an encrypted device. See
// https://docs.kernel.org/admin-guide/device-mapper/dm-crypt.html.
type Crypt struct {
	Device     string // path, such as /dev/vda10
	Cipher     string // such as aes-xts-plain64
	Key        []byte
	Offset     int64 // bytes: where the data begins on Device
	Size       int64 // bytes of data, a multiple of SectorSize
	SectorSize int64 // bytes that are encrypted at once
	IVOffset   int64 // added to the number of a sector, in units of 512 bytes
}

// Table returns the mapping as one line of a device-mapper table.
func (c Crypt) Table() Table {
	params := fmt.Sprintf("%s %s %d %s %d", c.Cipher, hex.EncodeToString(c.Key), c.IVOffset, c.Device, c.Offset/sectorSize)
	if c.SectorSize != sectorSize {
		params += fmt.Sprintf(" 1 sector_size:%d", c.SectorSize)
	}
	return Table{Sectors: c.Size / sectorSize, Target: "crypt", Params: params, Writable: true, Secret: true}
}
