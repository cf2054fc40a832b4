// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// A BootLoader starts a disk and its slots. GRUB is one (framework/grub/bootloader).
type BootLoader interface {
	slotimage.BootLoader
	// EFI returns the files of a new disk's EFI partition. They include the state
	// of the slots.
	EFI() ([]fat32.File, error)
	// BootCode is the beginning of the MBR, and Core the content of the BIOS
	// partition, of a disk whose BIOS partition begins at sector. Both are nil
	// without BIOS.
	BootCode(sector int64) []byte
	Core(sector int64) []byte
	// Room names what the BIOS partition must hold, and its size in bytes.
	Room() (what string, size int64)
}

// writeSome writes b, or nothing if b is nil: an image may lack BIOS.
func writeSome(w io.WriterAt, b []byte, offset int64) error {
	if b == nil {
		return nil
	}
	_, err := w.WriteAt(b, offset)
	return err
}
