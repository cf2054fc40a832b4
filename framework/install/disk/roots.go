// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// copyChunk, in bytes, is how much of the root image is read before it is written to the
// root partitions: disks that turn should not seek too often.
const copyChunk = 4 << 20

// ReaderWriterAt is what a root image is written to.
type ReaderWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// writeRoots writes the root image to every slot. It is read once.
func (i *Installation) writeRoots(ctx context.Context, w io.WriterAt) error {
	roots, from := i.plan.roots(), i.plan.Root
	if i.plan.Stream != nil {
		first := roots[0]
		if err := i.stream(ctx, first, w); err != nil {
			return fmt.Errorf("partition %s: %w", first.name, err)
		}
		from, roots = io.NewSectionReader(i.device, first.start, first.end-first.start), roots[1:]
	}
	return copyTo(ctx, from, i.plan.Image.Tree.Size, w, roots)
}

// stream lets Spec.Stream write a root partition, and checks what it made.
func (i *Installation) stream(ctx context.Context, r *region, w io.WriterAt) error {
	out := &window{&bounded{ctx: ctx, to: w, region: r}, i.device, r.start}
	tree, err := i.plan.Stream(ctx, out)
	if err == nil && tree != i.plan.Image.Tree {
		err = fmt.Errorf("%w: its root hash is %x, must be %x", ErrRoot, tree.RootHash, i.plan.Image.Tree.RootHash)
	}
	return err
}

func copyTo(ctx context.Context, from io.ReaderAt, size int64, w io.WriterAt, roots []*region) error {
	buf := make([]byte, copyChunk)
	for at := int64(0); at < size; at += copyChunk {
		b := buf[:min(copyChunk, size-at)]
		if _, err := io.ReadFull(io.NewSectionReader(from, at, int64(len(b))), b); err != nil {
			return fmt.Errorf("reading the root image: %w", err)
		}
		for _, r := range roots {
			if _, err := (&bounded{ctx: ctx, to: w, region: r}).WriteAt(b, r.start+at); err != nil {
				return fmt.Errorf("partition %s: %w", r.name, err)
			}
		}
	}
	return nil
}

func (p *plan) roots() []*region {
	var list []*region
	for _, r := range p.partitions() {
		if r.isRoot() {
			list = append(list, r)
		}
	}
	return list
}

// checkStream refuses a Spec with two root images, or with none.
func checkStream(s Spec) error {
	if (s.Stream == nil) == (s.Root == nil) {
		return errors.New("BUG: a disk has one of Root and Stream")
	}
	if s.Stream != nil {
		return nil
	}
	return checkRoot(s)
}

// A window is a region of a device, with offsets from its beginning.
type window struct {
	to    io.WriterAt
	from  io.ReaderAt
	start int64
}

// ReadAt implements io.ReaderAt.
func (w *window) ReadAt(p []byte, off int64) (int, error) { return w.from.ReadAt(p, w.start+off) }

// WriteAt implements io.WriterAt.
func (w *window) WriteAt(p []byte, off int64) (int, error) { return w.to.WriteAt(p, w.start+off) }

// Stream writes a root image to the beginning of out. It reads back only what it wrote.
type Stream func(ctx context.Context, out ReaderWriterAt) (verity.Tree, error)
