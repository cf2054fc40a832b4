// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Present finds out whether every layer that the manifest lists is there, without
// reading it. If not, the error wraps ErrMissing and names every missing blob.
func Present(ctx context.Context, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return fmt.Errorf("reading the image's layers: %w", err)
	}
	var all []error
	for _, layer := range layers {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		all = append(all, present(layer))
	}
	return errors.Join(all...)
}

func present(layer v1.Layer) error {
	digest, err := layer.Digest()
	if err != nil {
		return err
	}
	there, err := partial.Exists(layer)
	switch {
	case err != nil:
		return fmt.Errorf("%w: blob %s: %w", ErrMissing, digest, err)
	case !there:
		return fmt.Errorf("%w: blob %s is not there", ErrMissing, digest)
	}
	return nil
}
