// SPDX-License-Identifier: Apache-2.0

package dm

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Verity describes a dm-verity mapping of one device that holds both the data,
// from its first byte, and the hash tree. The hash is SHA-256 and the format is
// version 1: we write no others.
// See https://docs.kernel.org/admin-guide/device-mapper/verity.html.
type Verity struct {
	Device        string // path of the device, such as /dev/vda4
	DataBlockSize int64  // bytes
	HashBlockSize int64  // bytes
	DataBlocks    int64
	HashStart     int64 // first block of the tree, in hash blocks: the one after the superblock
	RootHash      [32]byte
	Salt          []byte
	// Options are the target's optional arguments, such as PanicOnCorruption.
	Options []string
}

// PanicOnCorruption makes the kernel panic when a block does not match its
// hash (Linux 5.9 and later).
const PanicOnCorruption = "panic_on_corruption"

// Table returns the mapping as one line of a device-mapper table.
func (v Verity) Table() Table {
	salt := "-"
	if len(v.Salt) > 0 {
		salt = hex.EncodeToString(v.Salt)
	}
	params := []string{
		"1", v.Device, v.Device,
		fmt.Sprint(v.DataBlockSize), fmt.Sprint(v.HashBlockSize),
		fmt.Sprint(v.DataBlocks), fmt.Sprint(v.HashStart),
		"sha256", hex.EncodeToString(v.RootHash[:]), salt,
	}
	if len(v.Options) > 0 {
		params = append(params, fmt.Sprint(len(v.Options)))
		params = append(params, v.Options...)
	}
	return Table{
		Sectors: v.DataBlocks * v.DataBlockSize / sectorSize,
		Target:  "verity",
		Params:  strings.Join(params, " "),
	}
}
