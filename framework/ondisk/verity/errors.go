// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"errors"
	"fmt"
)

var (
	// ErrNoSuperblock says that there is no verity superblock at the offset.
	ErrNoSuperblock = errors.New("no dm-verity superblock")
	// ErrUnsupported says that a superblock describes a tree which this package
	// does not handle, although veritysetup may.
	ErrUnsupported = errors.New("unsupported dm-verity superblock")
	// ErrCorrupt is wrapped by every error about a block whose hash is wrong.
	ErrCorrupt = errors.New("block does not match its hash")
)

// A BlockError names the first block that does not match its hash. It wraps
// ErrCorrupt.
type BlockError struct {
	Block  int64 // number of the block from the start of the data
	Offset int64 // the same in bytes
	Hash   bool  // the block belongs to the hash tree
}

// Error implements error.
func (e *BlockError) Error() string {
	kind := "data"
	if e.Hash {
		kind = "hash"
	}
	return fmt.Sprintf("verity %s block %d (offset %d): %v", kind, e.Block, e.Offset, ErrCorrupt)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *BlockError) Unwrap() error { return ErrCorrupt }
