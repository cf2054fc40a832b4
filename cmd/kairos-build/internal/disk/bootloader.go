// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// A BootLoader makes a disk start, and the slots on it. GRUB is one
// (framework/grub/bootloader).
type BootLoader interface {
	slotimage.BootLoader
	// EFI are the files of a new disk's EFI partition, and what in them is the
	// state of the slots.
	EFI() ([]fat32.File, error)
	// BootCode is the beginning of the MBR of a disk whose partition for BIOS
	// begins with that sector, and Core what is in that partition. Both are nil
	// without BIOS.
	BootCode(sector int64) []byte
	Core(sector int64) []byte
	// Room is what the partition for BIOS must have room for, and its bytes.
	Room() (what string, size int64)
}

// writeSome writes nothing for no bytes: an image may be without BIOS.
func writeSome(w io.WriterAt, b []byte, offset int64) error {
	if b == nil {
		return nil
	}
	_, err := w.WriteAt(b, offset)
	return err
}
