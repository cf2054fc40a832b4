// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDiffers means that Verify found a difference. It is wrapped with the place.
var ErrDiffers = errors.New("it is not what was written")

// Verify compares a disk with the size and the extents that Write returned. A device
// may be larger. The error names every extent that differs, and the first byte that
// is not zero in each hole.
func Verify(ctx context.Context, f *os.File, size int64, extents []Extent) error {
	if err := checkExtents(size, extents); err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if end < size || end > size && info.Mode().IsRegular() {
		return fmt.Errorf("%w: it has %d bytes, and had %d", ErrDiffers, end, size)
	}
	var all error
	at := int64(0)
	for _, e := range extents {
		all = errors.Join(all, verifyHole(ctx, f, extent{at, e.Offset}), verifyExtent(ctx, f, e))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at = e.Offset + e.Size
	}
	return errors.Join(all, verifyHole(ctx, f, extent{at, size}))
}

// checkExtents refuses extents that no disk of size bytes can have.
func checkExtents(size int64, extents []Extent) error {
	at := int64(0)
	for _, e := range extents {
		if e.Offset < at || e.Size <= 0 || e.Size > size-e.Offset {
			return fmt.Errorf("an extent of %d bytes at %d does not fit behind %d on a disk of %d bytes: the description is damaged", e.Size, e.Offset, at, size)
		}
		at = e.Offset + e.Size
	}
	if len(extents) == 0 {
		return errors.New("no extents are described: a version of kairos-build made it that did not know them")
	}
	return nil
}

func verifyExtent(ctx context.Context, f *os.File, e Extent) error {
	got, err := digest(ctx, f, extent{e.Offset, e.Offset + e.Size})
	if err == nil && got != e.SHA256 {
		err = fmt.Errorf("%w: %d bytes at %d have the SHA-256 %s, and had %s", ErrDiffers, e.Size, e.Offset, got, e.SHA256)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Partition, err)
	}
	return nil
}

// verifyHole looks for the first byte of a range that is not zero.
func verifyHole(ctx context.Context, f *os.File, hole extent) error {
	buf := make([]byte, min(hashStep, hole.end-hole.start))
	for hole.start < hole.end {
		data, err := nextData(f, hole.start, hole.end)
		if err != nil {
			return err
		}
		for at := data.start; at < data.end; at += hashStep {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			b := buf[:min(hashStep, data.end-at)]
			if _, err := f.ReadAt(b, at); err != nil {
				return fmt.Errorf("reading %d bytes at %d: %w", len(b), at, err)
			}
			if rest := bytes.TrimLeft(b, "\x00"); len(rest) > 0 {
				return fmt.Errorf("%w: something is at %d, where nothing was", ErrDiffers, at+int64(len(b)-len(rest)))
			}
		}
		hole.start = data.end
	}
	return nil
}
