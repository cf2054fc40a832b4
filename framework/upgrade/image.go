// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/source"
)

// kinds returns the kinds of sources that source.Open knows.
func kinds() []string { return []string{"oci", "dir", "ocifile", "file"} }

// open turns the name of the image into a digest, and reads its manifest. Everything after
// it is asked for by digest.
func (u *run) open(ctx context.Context) error {
	kind, rest, _ := strings.Cut(u.Source, ":")
	if !slices.Contains(kinds(), kind) || rest == "" {
		return fmt.Errorf("%w %q: want oci:REF, dir:PATH, ocifile:FILE or file:PATH", ErrSource, u.Source)
	}
	image, err := source.Resolve(ctx, u.Source, u.Registry)
	if err != nil {
		return err
	}
	if err := checkManifest(image, u.Registry.Arch); err != nil {
		return fmt.Errorf("%s: %w", u.Source, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("%s: %w", u.Source, err)
	}
	u.image, u.result.Digest = image, digest.String()
	return nil
}

// present checks that all layers are there, and not larger than any image for this slot.
func (u *run) present(ctx context.Context) error {
	manifest, err := u.image.Manifest()
	if err != nil {
		return err
	}
	if n := stored(manifest); n > u.bound() {
		return fmt.Errorf("%w: its layers have %d MiB, and no image for slot %s has more than %d MiB", ErrTooLarge, n>>20, u.plan.target, u.bound()>>20)
	}
	if err := source.Present(ctx, u.image); err != nil {
		return fmt.Errorf("%s: %w", u.Source, err)
	}
	return nil
}

// checkManifest reports all errors in the manifest and the configuration.
func checkManifest(image v1.Image, arch string) error {
	manifest, err := image.Manifest()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("%w: reading the configuration: %w", ErrManifest, err)
	}
	var all []error
	wrong := func(format string, args ...any) {
		all = append(all, fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, args...)))
	}
	if len(manifest.Layers) == 0 || len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		wrong("it lists %d layers, its configuration %d", len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	for i, layer := range manifest.Layers {
		if layer.Size <= 0 || layer.Digest.Algorithm != "sha256" || !layer.MediaType.IsLayer() {
			wrong("layer %d: %s of %d bytes, %s", i, layer.MediaType, layer.Size, layer.Digest)
		}
	}
	if config.OS != "linux" || config.Architecture != arch {
		wrong("it is for %s/%s, this node is linux/%s", config.OS, config.Architecture, arch)
	}
	return errors.Join(all...)
}

// stored returns the size of all layers as they are pulled, in bytes. The manifest
// gives it.
func stored(m *v1.Manifest) (total int64) {
	for _, layer := range m.Layers {
		total += min(layer.Size, math.MaxInt64-total)
	}
	return total
}
