// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// An Extent is a range of the disk that holds data. All bytes outside extents are zero.
type Extent struct {
	Partition string `json:"partition"` // its name, or "partition table" or "backup partition table"
	Offset    int64  `json:"offset"`    // on the disk, in bytes
	Size      int64  `json:"size"`      // bytes
	SHA256    string `json:"sha256"`    // hex
}

// Content identifies the content of a disk of size bytes, in hex: the SHA-256 of
// a line "OFFSET SIZE SHA256" for each extent, and of a line with the size.
func Content(size int64, extents []Extent) string {
	h := sha256.New()
	for _, e := range extents {
		fmt.Fprintf(h, "%d %d %s\n", e.Offset, e.Size, e.SHA256)
	}
	fmt.Fprintln(h, size)
	return hex.EncodeToString(h.Sum(nil))
}

// hashStep is the number of bytes between two checks of the context.
const hashStep = 1 << 20

// digests follows the writer through the disk. The disk has several copies of the root
// image; digests reads it once, from its source.
func (p *plan) digests(ctx context.Context, r io.ReaderAt) ([]Extent, error) {
	root, err := digest(ctx, p.Root, extent{0, p.Image.Tree.Size})
	if err != nil {
		return nil, err
	}
	var all []Extent
	for _, region := range p.regions {
		select {
		case <-region.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if region.isRoot() {
			all = append(all, Extent{region.name, region.start, p.Image.Tree.Size, root})
			continue
		}
		for _, e := range region.extents.merged(minHole) {
			sum, err := digest(ctx, r, e)
			if err != nil {
				return nil, err
			}
			all = append(all, Extent{region.name, e.start, e.end - e.start, sum})
		}
	}
	return all, nil
}

func digest(ctx context.Context, r io.ReaderAt, e extent) (string, error) {
	h := sha256.New()
	buf := make([]byte, min(hashStep, e.end-e.start))
	for at := e.start; at < e.end; at += hashStep {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		b := buf[:min(hashStep, e.end-at)]
		if _, err := r.ReadAt(b, at); err != nil {
			return "", fmt.Errorf("reading %d bytes at %d: %w", len(b), at, err)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
