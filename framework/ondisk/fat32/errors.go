// SPDX-License-Identifier: Apache-2.0

package fat32

import "errors"

// ErrNoSpace is returned when the files do not fit into the volume.
var ErrNoSpace = errors.New("no space left in the FAT32 volume")
