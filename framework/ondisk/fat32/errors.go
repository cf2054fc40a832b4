// SPDX-License-Identifier: Apache-2.0

package fat32

import "errors"

var (
	// ErrNoSpace is returned when the files do not fit into the volume.
	ErrNoSpace = errors.New("no space left in the FAT32 volume")
	// ErrNotFAT32 is returned by Open for anything but FAT32.
	ErrNotFAT32 = errors.New("not a FAT32 file system")
	// ErrDamaged is returned when the structure contradicts itself. Nothing is
	// written then; fsck.fat can repair it.
	ErrDamaged = errors.New("the FAT32 file system is damaged; repair it with fsck.fat")
)
