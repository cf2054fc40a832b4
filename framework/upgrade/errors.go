// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Reasons why an upgrade failed. With the errors up to ErrTooLarge nothing was written,
// unless the error is also an *IncompleteError.
var (
	ErrBusy     = errors.New("another upgrade is running")
	ErrSource   = errors.New("unknown kind of source")
	ErrManifest = errors.New("the image's manifest is not whole")
	ErrRefused  = errors.New("the image is not trusted")
	ErrRelease  = errors.New("the image's release file is not complete")
	// ErrMismatch says that the image is not what its labels or its name say.
	ErrMismatch  = errors.New("the image is not what it says")
	ErrUnfit     = errors.New("the image does not fit this node")
	ErrDowngrade = errors.New("the image is older than what this node had")
	ErrTooLarge  = errors.New("the image is too large for the slot")
	// ErrRootHash says that the root hash is not the one of the builder or the
	// rehearsal.
	ErrRootHash = errors.New("the root image is not the one that was built")
	// ErrReadBack says that the medium does not hold what was written to it.
	ErrReadBack = errors.New("the slot does not read back as it was written")
)

// IncompleteError is a failure after the first write. The slot that was being written is
// bad, and the boot loader does not boot it.
type IncompleteError struct {
	Slot layout.Slot // the slot that was being written
	Good layout.Slot // the slot that boots next, as before
	Err  error
}

// Error implements error.
func (e *IncompleteError) Error() string {
	return fmt.Sprintf("%v; slot %s is not complete and will not be booted; slot %s stays good; run the upgrade again", e.Err, e.Slot, e.Good)
}

// Unwrap returns what failed.
func (e *IncompleteError) Unwrap() error { return e.Err }
