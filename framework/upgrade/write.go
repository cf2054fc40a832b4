// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// spoiled, in bytes, is how much of a boot partition is overwritten, so that no program
// takes it for a file system.
const spoiled = 1 << 20

// partitions opens the slot's partitions. It writes nothing.
func (u *run) partitions(context.Context) (err error) {
	slot := u.plan.target
	if u.root, err = u.partition(slot.Root()); err != nil {
		return err
	}
	u.boot, err = u.partition(slot.Boot())
	return err
}

// reserve checks that the image fits.
func (u *run) reserve(ctx context.Context) error {
	layers, err := source.Layers(u.image, nil)
	if err != nil {
		return err
	}
	r, err := u.readRecord(layers)
	if err != nil {
		return err
	}
	if err := errors.Join(u.root.room(r.rootSize), u.boot.room(r.bootSize)); err != nil {
		return err
	}
	if r.rootHash != "" {
		u.rootHash = r.rootHash
		return nil
	}
	u.made = r.made
	return u.rehearse(ctx)
}

func (u *run) partition(name string) (*target, error) {
	dev, err := u.node.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening partition %s: %w", name, err)
	}
	return &target{Device: dev, name: name}, nil
}

// close closes the open partitions.
func (u *run) close() (err error) {
	for _, t := range []**target{&u.root, &u.boot} {
		if *t != nil {
			err = errors.Join(err, (*t).Close())
		}
		*t = nil
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
	image.Reference, image.Digest, image.Trust = u.Source, u.result.Digest, u.trust()
	u.written, u.result.Bytes = image, image.Tree.Size
	if err := u.writeBoot(ctx, image, u.boot); err != nil {
		return err
	}
	return errors.Join(u.root.sync(), u.boot.sync())
}

func (u *run) writeRoot(ctx context.Context) (*slotimage.Image, error) {
	layers, err := u.layers(StepWrite)
	if err != nil {
		return nil, err
	}
	return slotimage.Write(ctx, &during{u.root, ctx}, layers, u.node.BootLoader)
}

// layers returns the image's layers. Reading them reports the progress of step.
func (u *run) layers(step string) ([]slotimage.Layer, error) {
	manifest, err := u.image.Manifest()
	if err != nil {
		return nil, err
	}
	p := Progress{Step: step, Total: stored(manifest)}
	u.Progress(p)
	layers, err := source.Layers(u.image, func(n int) {
		p.Done = min(p.Done+int64(n), p.Total) // a layer may be read twice
		u.Progress(p)
	})
	if err != nil {
		return nil, err
	}
	u.limit(layers)
	return layers, nil
}

// checkRootHash compares the root hash with that of the builder's record or of the
// rehearsal.
func (u *run) checkRootHash(got string) error {
	u.result.RootHash = got
	if got != u.rootHash {
		return fmt.Errorf("%w: its verity root hash is %s, must be %s", ErrRootHash, got, u.rootHash)
	}
	return nil
}

// A target is a partition that is written. Its errors name the partition.
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

// WriteAt implements io.WriterAt. It writes nothing beyond the end.
func (t *target) WriteAt(b []byte, off int64) (int, error) {
	if err := t.room(end(b, off)); err != nil {
		return 0, err
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

// end returns the offset where a write ends.
func end(b []byte, off int64) int64 {
	if n := int64(len(b)); off <= math.MaxInt64-n {
		return off + n
	}
	return math.MaxInt64
}

// room returns an error if the partition has less than need bytes.
func (t *target) room(need int64) error {
	if need <= t.Size() {
		return nil
	}
	return fmt.Errorf("%w: partition %s has %d MiB, it needs %d MiB or more: use a smaller image, or install the node anew with larger slots",
		ErrTooLarge, t.name, t.Size()>>20, (need-1)>>20+1)
}

// during is a target that refuses writes once its context is done.
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
