// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// largest, in bytes, are the partitions of a slot that no image is larger than.
const (
	largestRoot = 16 << 30
	largestBoot = 1 << 30
)

// A Fetched image may be installed by this node: it passed all checks of an upgrade.
type Fetched struct {
	Image  *slotimage.Image
	Result Result // Slot, Tries, Bytes and Seconds are not set
	run    *run
}

// Fetch checks an image as Run does, and reads it once without writing it anywhere. It
// needs no slot: an installer writes the image to another disk. Of n, only Release,
// BootLoader, Verifier, Floor and Against count.
func Fetch(ctx context.Context, n Installation, o Options) (*Fetched, error) {
	u := newRun(n, o)
	u.plan.target = layout.SlotA
	u.root = &target{Device: imagined(largestRoot), name: layout.SlotA.Root()}
	u.boot = &target{Device: imagined(largestBoot), name: layout.SlotA.Boot()}
	for _, check := range []func(context.Context) error{u.open, u.verify, u.present, u.fits} {
		u.Progress(Progress{Step: StepCheck})
		if err := unlessEnded(ctx, check); err != nil {
			return nil, err
		}
	}
	image, err := u.take(ctx)
	if err != nil {
		return nil, err
	}
	u.result.RootHash = hex.EncodeToString(image.Tree.RootHash[:])
	image.Reference, image.Digest, image.Trust = u.Source, u.result.Digest, u.trust()
	return &Fetched{Image: image, Result: u.result, run: u}, nil
}

// take makes the slot of the image, and discards the root image.
func (u *run) take(ctx context.Context) (*slotimage.Image, error) {
	stored, err := source.Layers(u.image, nil)
	if err != nil {
		return nil, err
	}
	r, err := u.readRecord(stored)
	if err != nil {
		return nil, err
	}
	u.made = r.made
	layers, err := u.layers(StepCheck)
	if err != nil {
		return nil, err
	}
	image, err := slotimage.Write(ctx, &nowhere{u.root, ctx}, layers, u.node.BootLoader)
	if err != nil {
		return nil, err
	}
	u.rootHash = hex.EncodeToString(image.Tree.RootHash[:])
	if r.rootHash != "" {
		u.rootHash = r.rootHash
	}
	return image, errors.Join(u.checkRootHash(hex.EncodeToString(image.Tree.RootHash[:])), u.confirm(image.Release))
}

// Write writes the root image. It reads the layers again.
func (f *Fetched) Write(ctx context.Context, out interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
}) (verity.Tree, error) {
	layers, err := f.run.layers(StepWrite)
	if err != nil {
		return verity.Tree{}, err
	}
	image, err := slotimage.Write(ctx, out, layers, f.run.node.BootLoader)
	if err != nil {
		return verity.Tree{}, err
	}
	return image.Tree, nil
}

// imagined is a Device with a size, to which nothing is written.
type imagined int64

func (i imagined) Size() int64 { return int64(i) }
func (imagined) ReadAt([]byte, int64) (int, error) {
	panic("BUG: nothing is read from an imagined device")
}
func (imagined) WriteAt(p []byte, _ int64) (int, error) {
	panic("BUG: nothing is written to an imagined device")
}
func (imagined) Sync() error   { return nil }
func (imagined) Forget() error { return nil }
func (imagined) Close() error  { return nil }
