// SPDX-License-Identifier: Apache-2.0

package bootenv

import (
	"fmt"
	"io"

	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Read reads the state from an EFI partition of size bytes that has no device yet, or is
// one of several. A damaged block is an error, and so is a missing one (ErrNoBlock).
// Unknown values count as empty, as for GRUB.
func Read(r io.ReaderAt, size int64) (slot.State, error) {
	offset, err := findIn(r, size)
	if err != nil {
		return slot.State{}, err
	}
	block := make([]byte, grubenv.Size)
	if _, err := r.ReadAt(block, offset); err != nil {
		return slot.State{}, fmt.Errorf("reading the boot environment: %w", err)
	}
	vars, err := grubenv.Decode(block)
	if err != nil {
		return slot.State{}, err
	}
	state, _ := slot.ParseVars(vars)
	return state, nil
}
