// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"archive/tar"
	"errors"
	"fmt"
)

// Bounds of an image. Reading an image keeps its names in memory, and a layer of a few
// megabytes can hold millions of them.
const (
	// MaxEntries is how many entries all layers together may have. A Debian with k3s has
	// 30,000, a desktop 200,000.
	MaxEntries = 200_000
	// MaxPaths is how many files and folders there may be after the layers are merged. A
	// path of 4 KiB may name 2,000 folders.
	MaxPaths = 200_000
	// MaxNameBytes is how many bytes all names, targets of links and extended attributes
	// together may have.
	MaxNameBytes = 32 << 20
)

// ErrTooMany says that an image exceeds one of these bounds.
var ErrTooMany = errors.New("the image has too many entries")

// A Budget counts the entries of an image. The zero value has nothing counted.
type Budget struct {
	entries int
	bytes   int64
}

// Take counts an entry, or returns ErrTooMany.
func (b *Budget) Take(h *tar.Header) error {
	b.bytes += int64(len(h.Name) + len(h.Linkname))
	for key, value := range h.PAXRecords {
		b.bytes += int64(len(key) + len(value))
	}
	if b.entries++; b.entries > MaxEntries {
		return fmt.Errorf("%w: more than %d in its layers", ErrTooMany, MaxEntries)
	}
	if b.bytes > MaxNameBytes {
		return fmt.Errorf("%w: their names, links and attributes take more than %d MiB", ErrTooMany, MaxNameBytes>>20)
	}
	return nil
}
