// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/recipes"
)

// A baseImage is the image that a build starts from in place of the archive's
// base root (`--base`).
type baseImage struct {
	name     recipes.BaseImage
	state    llb.State
	database []byte // of its packages
}

// openBase imports the image and reads its distribution and packages.
func (b *build) openBase(ctx context.Context) (base *baseImage, err error) {
	err = b.step("base: import "+b.Base, func(progress.Step) (bool, error) {
		ref, err := b.lockedBase()
		if err != nil {
			return false, err
		}
		image, err := source.Open(ctx, ref, source.Options{Arch: b.choice.Arch})
		if err != nil {
			return false, badInput(err)
		}
		if err := b.isLockedBase(image); err != nil {
			return false, err
		}
		files, err := source.Files(image, append(osReleaseFiles(), b.packages.BaseDatabases()...)...)
		if err != nil {
			return false, fmt.Errorf("%s: %w", b.Base, err)
		}
		if err := b.fits(files); err != nil {
			return false, badInput(err)
		}
		in, err := b.inputs.Import(ctx, "base-image", image)
		if err != nil {
			return false, err
		}
		b.digests = append(b.digests, Input{Name: "base " + b.Base, Digest: in.Digest.String()})
		base = &baseImage{
			name:     baseName(b.Base, in.Digest.String()),
			state:    stored(in, recipes.InputBase),
			database: b.databaseIn(files),
		}
		return in.Cached, nil
	})
	return base, err
}

// baseName names the base in the image. It leaves out a path on this machine, which
// means nothing elsewhere and would make the result depend on it.
func baseName(ref, digest string) recipes.BaseImage {
	if exists(ref) {
		return recipes.BaseImage{Digest: digest}
	}
	return recipes.BaseImage{Name: ref, Digest: digest}
}

// fits checks that the image is of the flavor's distribution and release.
func (b *build) fits(files map[string][]byte) error {
	facts := osReleaseOf(files)
	if facts == nil {
		return noOSRelease(b.Base)
	}
	f := b.choice.Flavor
	if b.Relative != "" {
		b.Log.Warn(b.Base + ": " + b.Relative)
	} else if facts["ID"] != f.ID || !f.IsRelease(facts["VERSION_ID"]) {
		is := strings.TrimSpace(facts["ID"] + " " + facts["VERSION_ID"])
		return fmt.Errorf("%s is %s, flavor %s needs %s %s: choose the flavor that fits, or another base", b.Base, is, f.Name, f.ID, f.Release)
	}
	if b.databaseIn(files) == nil {
		return fmt.Errorf("%s: it has no package database (/%s), so nothing can be added to it: take an image with the package manager of %s", b.Base, b.packages.Database(), f.Title)
	}
	return nil
}

// databaseIn is the package database of a base image, or nil.
func (b *build) databaseIn(files map[string][]byte) []byte {
	for _, name := range b.packages.BaseDatabases() {
		if files[name] != nil {
			return files[name]
		}
	}
	return nil
}
