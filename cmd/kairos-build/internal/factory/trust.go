// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/recipes"
)

// A Trust says who signs an image, and whose images its nodes take.
type Trust struct {
	Signer Signer         // nil: nothing signs the image
	Policy []recipes.File // empty: the image has no policy
}

// A Signer signs images in OCI layouts.
type Signer interface {
	// SignLayout makes sure that the images of an OCI layout in a folder have a signature,
	// and tells whether one was added.
	SignLayout(ctx context.Context, dir string) (added bool, err error)
	// SignDigest makes sure that a file with a digest has a signature beside it, and tells
	// whether one was added.
	SignDigest(ctx context.Context, path string, digest v1.Hash) (added bool, err error)
}

// openTrust opens the signer. The policy becomes a part of the recipe, and so of what the
// image was made from.
func (b *build) openTrust(ctx context.Context) error {
	if b.Trust == nil {
		return nil
	}
	trust, err := b.Trust(ctx)
	if err != nil {
		return err
	}
	b.signer, b.choice.Policy = trust.Signer, trust.Policy
	for _, f := range trust.Policy {
		in := Input{Name: "policy /" + f.Path, Digest: digest.FromBytes(f.Data).String()}
		b.digests = append(b.digests, in)
		b.origins.inputs = append(b.origins.inputs, evidence.Named(in.Name, in.Digest))
	}
	return nil
}

// sign signs the image and the files in the output folder. A signature is about a digest and
// changes nothing in it.
func (b *build) sign(ctx context.Context) error {
	_, err := b.signed(ctx)
	return err
}

func (b *build) signed(ctx context.Context) (added bool, err error) {
	if b.signer == nil {
		return false, nil
	}
	err = b.step("sign the image", func(progress.Step) (cached bool, err error) {
		added, err = b.signer.SignLayout(ctx, b.out.path(imageName))
		return !added, err
	})
	if err != nil {
		return added, err
	}
	return added, b.step("sign the files", func(progress.Step) (cached bool, err error) { return b.signFiles(ctx) })
}

// signFiles signs disks and documents, and tells whether all of them were signed already.
func (b *build) signFiles(ctx context.Context) (cached bool, err error) {
	files, err := SignedFiles(b.out.dir)
	if err != nil {
		return false, err
	}
	cached = true
	for _, f := range files {
		added, err := b.signer.SignDigest(ctx, f.Path, f.Digest)
		if err != nil {
			return false, err
		}
		cached = cached && !added
	}
	return cached, nil
}

// signAgain signs an image that was there already, unless it has the signature.
func (b *build) signAgain(ctx context.Context, g *graph) error {
	image := b.out.recall().Image
	if added, err := b.signed(ctx); !added || err != nil {
		return err
	}
	return b.out.remember(b.key(g), image)
}

// keepAttached takes what is attached to the image of before over to a new folder with the
// same image: its signatures are still right.
func (b *build) keepAttached(from, to string) error {
	old, _, err := publish.OpenLayout(from)
	if err != nil {
		return nil // there is none, or none that can be read
	}
	made, all, err := publish.OpenLayout(to)
	if err != nil {
		return err
	}
	for _, s := range all {
		list, err := old.Attached(s)
		if err != nil { // it is of no use without its blobs
			b.Log.Warn("the signatures of the image of before cannot be read and are left out: sign it again", "err", err)
		}
		if err != nil || len(list) == 0 {
			continue
		}
		if err := made.Attach(s, list); err != nil {
			return fmt.Errorf("keeping the signatures of %s: %w", s.Digest, err)
		}
	}
	return nil
}
