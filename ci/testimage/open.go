// SPDX-License-Identifier: Apache-2.0

package testimage

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Open opens the only image of an OCI layout, besides which there may be signatures.
func Open(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image in %s: %w", dir, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the index in %s: %w", dir, err)
	}
	images := slices.DeleteFunc(slices.Clone(manifest.Manifests), func(d v1.Descriptor) bool { return isAttached(index, d) })
	if len(images) != 1 {
		return nil, fmt.Errorf("%s lists %d images, want one", dir, len(images))
	}
	return index.Image(images[0].Digest)
}

// isAttached tells the signatures of an image in its layout from the image.
func isAttached(index v1.ImageIndex, d v1.Descriptor) bool {
	if strings.HasPrefix(d.Annotations[ocispec.AnnotationRefName], "sha256-") {
		return true
	}
	image, err := index.Image(d.Digest)
	if err != nil {
		return false
	}
	m, err := image.Manifest()
	return err == nil && m.Subject != nil
}
