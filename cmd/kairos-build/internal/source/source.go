// SPDX-License-Identifier: Apache-2.0

// Package source opens an OCI image wherever it is: an OCI layout folder, an
// OCI archive (a tar of such a folder), or a registry. It only reads.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("no such image")
	ErrPlatform = errors.New("image is for another platform")
	ErrNotImage = errors.New("not an OCI image")
)

// Open returns the linux image for arch that ref names. ref is a folder with
// an OCI layout, a file with a tar of one, or a registry reference.
func Open(ctx context.Context, ref, arch string) (v1.Image, error) {
	want := v1.Platform{OS: "linux", Architecture: arch}
	info, err := os.Stat(ref)
	switch {
	case err == nil && info.IsDir():
		return Layout(ref, want)
	case err == nil:
		return archive(ref, want)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case looksLikePath(ref):
		return nil, fmt.Errorf("%s: %w: there is no such folder or file", ref, ErrNotFound)
	}
	return pull(ctx, ref, want)
}

// looksLikePath tells a path from a registry reference, which never begins
// with a slash or a dot and has no ".tar" at the end.
func looksLikePath(ref string) bool {
	return strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, ".") || strings.HasSuffix(ref, ".tar")
}

// Layout opens the image for want in an OCI layout folder.
func Layout(dir string, want v1.Platform) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: want a folder with oci-layout and index.json", dir, ErrNotImage, err)
	}
	return pick(dir, index, want)
}

// pick finds the image for want in an index, also in an index inside it.
func pick(ref string, index v1.ImageIndex, want v1.Platform) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	var have []string
	for _, desc := range manifest.Manifests {
		switch {
		case desc.MediaType.IsIndex():
			inner, err := index.ImageIndex(desc.Digest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", ref, err)
			}
			return pick(ref, inner, want)
		case !desc.MediaType.IsImage():
			continue
		}
		image, err := index.Image(desc.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		is, err := platform(image)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		if is.Satisfies(want) {
			return image, nil
		}
		have = append(have, is.String())
	}
	return nil, mismatch(ref, want, have)
}

func platform(image v1.Image) (v1.Platform, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	return v1.Platform{OS: config.OS, Architecture: config.Architecture}, nil
}

func mismatch(ref string, want v1.Platform, have []string) error {
	if len(have) == 0 {
		return fmt.Errorf("%s: %w: its index lists none", ref, ErrNotImage)
	}
	return fmt.Errorf("%s: %w: wanted %s, found %s; choose with --arch", ref, ErrPlatform, want.String(), strings.Join(have, ", "))
}

func pull(ctx context.Context, ref string, want v1.Platform) (v1.Image, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a folder, a file nor an image reference: %w", ref, err)
	}
	image, err := remote.Image(parsed, remote.WithContext(ctx), remote.WithPlatform(want), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: asking the registry: %w", ref, ErrNotFound, err)
	}
	is, err := platform(image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if !is.Satisfies(want) {
		return nil, mismatch(ref, want, []string{is.String()})
	}
	return image, nil
}
