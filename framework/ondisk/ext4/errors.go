// SPDX-License-Identifier: Apache-2.0

package ext4

import "errors"

// The errors of Write, always wrapped with details.
var (
	ErrSize      = errors.New("ext4: file system size out of range")
	ErrFull      = errors.New("ext4: contents do not fit")
	ErrPath      = errors.New("ext4: bad entry")
	ErrDuplicate = errors.New("ext4: duplicate path")
	ErrOption    = errors.New("ext4: bad option")
)

// The errors of Mend.
var (
	// ErrNoSuper says that there is no superblock, damaged or not.
	ErrNoSuper = errors.New("ext4: there is no superblock")
	// ErrDamaged says that a superblock is worse than torn. Linux does not mount
	// such a file system; e2fsck may be able to repair it.
	ErrDamaged = errors.New("ext4: the superblock is damaged")
)
