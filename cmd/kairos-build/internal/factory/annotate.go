// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// readLayout reads the manifest of the only image of an OCI layout.
func readLayout(dir string) (ocispec.Descriptor, *ocispec.Manifest, error) {
	images, err := publish.Images(dir)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	if len(images) != 1 {
		return ocispec.Descriptor{}, nil, fmt.Errorf("%s lists %d images: want one", dir, len(images))
	}
	var index ocispec.Index
	if err := readJSON(filepath.Join(dir, ocispec.ImageIndexFile), &index); err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	at := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest.String() == images[0].Digest.String() })
	desc := index.Manifests[at]
	manifest := &ocispec.Manifest{}
	return desc, manifest, readJSON(blobPath(dir, desc.Digest), manifest)
}

// annotate adds annotations to the manifest of a layout with one image. The
// manifest gets a new digest; the index is replaced by rename. If all annotations
// are there already, annotate changes nothing.
func annotate(dir string, annotations map[string]string) error {
	desc, manifest, err := readLayout(dir)
	if err != nil {
		return fmt.Errorf("annotating the image: %w", err)
	}
	if covers(manifest.Annotations, annotations) {
		return nil
	}
	all := maps.Clone(manifest.Annotations)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, annotations)
	manifest.Annotations = all
	if err := replaceManifest(dir, desc, manifest); err != nil {
		return fmt.Errorf("annotating the image: %w", err)
	}
	return nil
}

func covers(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

func replaceManifest(dir string, old ocispec.Descriptor, manifest *ocispec.Manifest) error {
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	desc := old
	desc.Digest, desc.Size = digest.FromBytes(data), int64(len(data))
	if err := os.WriteFile(blobPath(dir, desc.Digest), data, 0o644); err != nil {
		return err
	}
	var index ocispec.Index
	path := filepath.Join(dir, ocispec.ImageIndexFile)
	if err := readJSON(path, &index); err != nil {
		return err
	}
	index.Manifests = []ocispec.Descriptor{desc} // what was attached was about another digest
	if data, err = json.Marshal(index); err != nil {
		return err
	}
	if err := durable.WriteCache(path, data, 0o644); err != nil {
		return err
	}
	return os.Remove(blobPath(dir, old.Digest))
}

func blobPath(dir string, d digest.Digest) string {
	return filepath.Join(dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
