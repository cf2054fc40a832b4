// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"io"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// Patched is a disk as a machine sees it after a start with patches: the base of its
// recording. State 0, materialised, is the same disk as a file.
type Patched struct {
	io.ReaderAt
	Patches []qemu.Patch
}

// ReadAt implements io.ReaderAt. The patches must lie inside the disk.
func (d Patched) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(p, off)
	for _, patch := range d.Patches {
		from, to := max(off, patch.Offset), min(off+int64(n), patch.Offset+int64(len(patch.Data)))
		if from < to {
			copy(p[from-off:to-off], patch.Data[from-patch.Offset:])
		}
	}
	return n, err
}
