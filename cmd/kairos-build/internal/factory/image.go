// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// A madeImage is the OCI image with the root image that was made from it.
type madeImage struct {
	Image
	root *rootImage
}

// makeImage makes the OCI image, or takes that of the last build if the graph is the
// same.
func (b *build) makeImage(ctx context.Context, g *graph) (*madeImage, error) {
	dir := b.out.path(imageName)
	if b.out.recall(imageName, resultName).Image != g.key {
		dir = b.out.staged(imageName)
		if err := b.solve(ctx, g, dir); err != nil {
			return nil, err
		}
		if err := b.labelRoot(dir); err != nil {
			return nil, err
		}
	}
	image, err := source.Layout(dir, v1.Platform{OS: "linux", Architecture: b.recipe.Arch})
	if err != nil {
		return nil, err
	}
	root, err := b.makeRoot(ctx, b.State, image)
	if err != nil {
		return nil, err
	}
	if err := checkKubernetesOf(b.configs, root); err != nil {
		return nil, err
	}
	if err := annotate(dir, root.record); err != nil {
		return nil, err
	}
	if before := b.out.path(imageName); dir != before {
		if err := b.keepAttached(before, dir); err != nil {
			return nil, err
		}
	}
	described, err := describe(dir)
	if err != nil {
		return nil, err
	}
	described.RootHash = hex.EncodeToString(root.image.Tree.RootHash[:])
	return &madeImage{*described, root}, nil
}

// An openedImage is an image that was made before, with its root image.
type openedImage struct {
	root   *rootImage
	digest string
	config *v1.ConfigFile
}

// openMade opens an image to make something of it, and checks that its Kubernetes can do
// what configs ask for.
func (r *recorder) openMade(ctx context.Context, state, ref, arch string, configs []cloudConfig) (i openedImage, err error) {
	if err := MakeState(state); err != nil {
		return i, err
	}
	image, digest, err := openImage(ctx, ref, arch)
	if err != nil {
		return i, err
	}
	i.digest = digest
	if i.config, err = image.ConfigFile(); err != nil {
		return i, fmt.Errorf("%s: %w", ref, err)
	}
	if i.root, err = r.makeRoot(ctx, state, image); err != nil {
		return i, err
	}
	return i, checkKubernetesOf(configs, i.root)
}

// openImage opens the image that ref names, as imagePath reads it, and returns its digest.
func openImage(ctx context.Context, ref, arch string) (v1.Image, string, error) {
	image, err := source.Open(ctx, imagePath(ref), source.Options{Arch: arch})
	if errors.Is(err, source.ErrPlatform) {
		err = fmt.Errorf("%w; choose with --arch", err)
	}
	if err != nil {
		return nil, "", badInput(err)
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", ref, err)
	}
	return image, digest.String(), nil
}

// solve runs the graph; the image appears in dir.
func (b *build) solve(ctx context.Context, g *graph, dir string) error {
	watch := progress.NewGraph(b.to)
	defer watch.Close()
	result, err := b.Builder.Solve(ctx, engine.Request{
		Definition: g.definition,
		Stores:     map[string]content.Store{storeID: b.inputs},
		Image:      &engine.Image{Dir: dir, Config: b.recipe.Image(), Annotations: b.recipe.Labels(), Epoch: b.recipe.Epoch},
		Progress:   watch.Update,
	})
	for _, step := range result.Steps {
		if !step.Completed.IsZero() || step.Cached {
			b.add(Step{Name: step.Name, Seconds: step.Seconds(), Cached: step.Cached})
		}
	}
	return err
}

// makeRoot makes the root image, or takes the one made before from the same layers.
func (r *recorder) makeRoot(ctx context.Context, stateDir string, image v1.Image) (root *rootImage, err error) {
	roots, err := openRoots(stateDir)
	if err != nil {
		return nil, err
	}
	layers, err := source.Layers(image, nil)
	if err != nil {
		return nil, err
	}
	title := map[layout.FileSystem]string{layout.EROFS: "EROFS", layout.SquashFS: "SquashFS"}[slotimage.RootFormat(layers)]
	err = r.step("root image: "+title+" and verity tree", func(progress.Step) (cached bool, err error) {
		if root, cached, err = roots.make(ctx, layers); err != nil {
			return false, err
		}
		root.record = root.image.Record(layers, slotLoader{})
		return cached, nil
	})
	return root, err
}

// sizeOf is the size of an image's blobs, in bytes, each once.
func sizeOf(desc ocispec.Descriptor, manifest *ocispec.Manifest) (total int64) {
	seen := map[digest.Digest]bool{}
	for _, blob := range append([]ocispec.Descriptor{desc, manifest.Config}, manifest.Layers...) {
		if !seen[blob.Digest] {
			total += blob.Size
		}
		seen[blob.Digest] = true
	}
	return total
}

// describe reads an image's folder for build.json.
func describe(dir string) (*Image, error) {
	desc, manifest, err := readLayout(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	image := &Image{Path: imageName, Digest: desc.Digest.String(), Size: sizeOf(desc, manifest)}
	for _, layer := range manifest.Layers {
		image.Layers = append(image.Layers, Layer{Digest: layer.Digest.String(), MediaType: layer.MediaType, Size: layer.Size})
	}
	return image, nil
}
