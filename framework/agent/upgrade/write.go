// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// spoiled, in bytes, is how much of a boot partition is overwritten so that
// nothing takes it for a file system.
const spoiled = 1 << 20

// reserve opens the slot's partitions and compares the sizes that are known.
func (u *run) reserve(context.Context) (err error) {
	slot := u.plan.target
	if u.root, err = u.partition(slot.Root()); err != nil {
		return err
	}
	if u.boot, err = u.partition(slot.Boot()); err != nil {
		return err
	}
	manifest, err := u.image.Manifest()
	if err != nil {
		return err
	}
	text, ok := manifest.Annotations[layout.AnnotationRootSize]
	if !ok {
		return nil
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: annotation %s: %w", ErrManifest, layout.AnnotationRootSize, err)
	}
	if size > u.root.Size() {
		return u.root.tooLarge(size)
	}
	return nil
}

func (u *run) partition(name string) (*target, error) {
	dev, err := u.node.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening partition %s: %w", name, err)
	}
	return &target{Device: dev, name: name}, nil
}

func (u *run) close() (err error) {
	for _, t := range []*target{u.root, u.boot} {
		if t != nil {
			err = errors.Join(err, t.Close())
		}
	}
	return err
}

// spoil makes the boot partition unreadable before the root changes.
func (u *run) spoil(context.Context) error {
	n := min(spoiled, u.boot.Size())
	if _, err := u.boot.WriteAt(make([]byte, n), 0); err != nil {
		return err
	}
	return u.boot.sync()
}

// write fills both partitions.
func (u *run) write(ctx context.Context) error {
	image, err := u.writeRoot(ctx)
	if err != nil {
		return err
	}
	if err := u.checkRootHash(hex.EncodeToString(image.Tree.RootHash[:])); err != nil {
		return err
	}
	if err := u.confirm(image.Release); err != nil {
		return err
	}
	image.Reference, image.Digest = u.Source, u.result.Digest
	u.written, u.result.Bytes = image, image.Tree.Size
	if err := u.writeBoot(ctx, u.boot); err != nil {
		return err
	}
	return errors.Join(u.root.sync(), u.boot.sync())
}

func (u *run) writeRoot(ctx context.Context) (*slotimage.Image, error) {
	manifest, err := u.image.Manifest()
	if err != nil {
		return nil, err
	}
	p := Progress{Step: StepWrite, Total: stored(manifest)}
	u.Progress(p)
	layers, err := source.Layers(u.image, func(n int) {
		p.Done = min(p.Done+int64(n), p.Total) // a layer may be read twice
		u.Progress(p)
	})
	if err != nil {
		return nil, err
	}
	return slotimage.Write(ctx, &during{u.root, ctx}, layers)
}

// checkRootHash compares the root with what the builder recorded, if it did.
func (u *run) checkRootHash(got string) error {
	manifest, err := u.image.Manifest()
	if err != nil {
		return err
	}
	u.result.RootHash = got
	if want, ok := manifest.Annotations[layout.AnnotationRootHash]; ok && want != got {
		return fmt.Errorf("%w: its verity root hash is %s, the builder recorded %s", ErrRootHash, got, want)
	}
	return nil
}

// A target is a partition that is written. Its errors name it.
type target struct {
	Device
	name string
}

// ReadAt implements io.ReaderAt.
func (t *target) ReadAt(b []byte, off int64) (int, error) {
	n, err := t.Device.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading partition %s: %w", t.name, err)
	}
	return n, err
}

// WriteAt implements io.WriterAt. Nothing is written behind the end.
func (t *target) WriteAt(b []byte, off int64) (int, error) {
	if end := off + int64(len(b)); end > t.Size() {
		return 0, t.tooLarge(end)
	}
	n, err := t.Device.WriteAt(b, off)
	if err != nil {
		err = fmt.Errorf("writing partition %s: %w", t.name, err)
	}
	return n, err
}

func (t *target) sync() error {
	if err := t.Sync(); err != nil {
		return fmt.Errorf("writing partition %s to the medium: %w", t.name, err)
	}
	return nil
}

func (t *target) tooLarge(need int64) error {
	return fmt.Errorf("%w: partition %s has %d MiB, it needs %d MiB or more: use a smaller image, or install the node anew with larger slots",
		ErrTooLarge, t.name, t.Size()>>20, (need+1<<20-1)>>20)
}

// during is a target whose writing ends with a context.
type during struct {
	*target
	ctx context.Context // of the one Write that uses it
}

// WriteAt implements io.WriterAt.
func (d *during) WriteAt(b []byte, off int64) (int, error) {
	if err := context.Cause(d.ctx); err != nil {
		return 0, err
	}
	return d.target.WriteAt(b, off)
}
