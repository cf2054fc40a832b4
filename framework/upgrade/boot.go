// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// writeBoot writes the boot partition. The first sector comes last.
func (u *run) writeBoot(ctx context.Context, image *slotimage.Image, out io.WriterAt) error {
	err := fat32.Write(writerFunc(func(b []byte, off int64) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return out.WriteAt(b, off)
	}), u.boot.Size(), image.BootFiles(u.node.BootLoader), fat32.Options{Label: u.plan.target.BootFS(), VolumeID: u.volumeID()})
	if errors.Is(err, fat32.ErrNoSpace) {
		return fmt.Errorf("%w: partition %s: %w", ErrTooLarge, u.boot.name, err)
	}
	return err
}

type writerFunc func(b []byte, off int64) (int, error)

// WriteAt implements io.WriterAt.
func (f writerFunc) WriteAt(b []byte, off int64) (int, error) { return f(b, off) }

// volumeID derives the volume ID from the slot and the root hash.
func (u *run) volumeID() uint32 {
	sum := sha256.Sum256(fmt.Appendf(nil, "kairos-boot-v1\n%s\n%s\n", u.plan.target, u.result.RootHash))
	return binary.LittleEndian.Uint32(sum[:])
}

// readBack reads both partitions from the medium and compares them with what was written.
func (u *run) readBack(ctx context.Context) error {
	if err := errors.Join(u.root.Forget(), u.boot.Forget()); err != nil {
		return fmt.Errorf("reading back slot %s: %w", u.plan.target, err)
	}
	tree := u.written.Tree
	u.Progress(Progress{Step: StepReadBack, Total: tree.Size})
	if err := verity.Verify(ctx, u.root, tree); err != nil {
		return readBackError(ctx, u.root, err)
	}
	if err := u.writeBoot(ctx, u.written, comparer{u.boot}); err != nil {
		return readBackError(ctx, u.boot, err)
	}
	u.Progress(Progress{Step: StepReadBack, Done: tree.Size, Total: tree.Size})
	return nil
}

func readBackError(ctx context.Context, t *target, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: partition %s: %w; if that happens again, replace the medium", ErrReadBack, t.name, err)
}

// A comparer is an io.WriterAt that compares instead of writing: the data must already be
// where it would go.
type comparer struct{ r io.ReaderAt }

// WriteAt implements io.WriterAt.
func (c comparer) WriteAt(b []byte, off int64) (int, error) {
	const step = 1 << 20
	have := make([]byte, min(step, len(b)))
	for at := 0; at < len(b); at += step {
		want := b[at:min(at+step, len(b))]
		if n, err := c.r.ReadAt(have[:len(want)], off+int64(at)); n < len(want) {
			return at, fmt.Errorf("at %d: %w", off+int64(at), err)
		}
		if !bytes.Equal(have[:len(want)], want) {
			return at, fmt.Errorf("the %d bytes at %d are not what was written", len(want), off+int64(at))
		}
	}
	return len(b), nil
}
