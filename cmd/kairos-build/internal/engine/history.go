// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// historyText stands in place of what BuildKit writes into an image's history: there a layer is
// described by how the builder came by it (a step, a pull, a cache), and the digest of the image
// would tell one from another.
const historyText = "kairos-build"

// evenHistory gives all layers of an exported image the same text, and returns the descriptor of
// its new manifest. It replaces the blobs of configuration and manifest.
func (i *Image) evenHistory(desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	var manifest ocispec.Manifest
	var config ocispec.Image
	if err := i.readBlob(desc, &manifest); err != nil {
		return desc, err
	}
	if err := i.readBlob(manifest.Config, &config); err != nil {
		return desc, err
	}
	for n := range config.History {
		config.History[n].CreatedBy = historyText
	}
	var err error
	if manifest.Config, err = i.replaceBlob(manifest.Config, config); err != nil {
		return desc, err
	}
	return i.replaceBlob(desc, manifest)
}

func (i *Image) blob(d digest.Digest) string {
	return filepath.Join(i.Dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (i *Image) readBlob(desc ocispec.Descriptor, v any) error {
	data, err := os.ReadFile(i.blob(desc.Digest))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("reading what the engine wrote as %s: %w", desc.Digest, err)
	}
	return nil
}

// replaceBlob writes a document in place of another.
func (i *Image) replaceBlob(old ocispec.Descriptor, document any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return old, err
	}
	desc := old
	desc.Digest, desc.Size = digest.FromBytes(data), int64(len(data))
	if desc.Digest == old.Digest {
		return desc, nil
	}
	if err := os.WriteFile(i.blob(desc.Digest), data, 0o644); err != nil {
		return old, err
	}
	return desc, os.Remove(i.blob(old.Digest))
}
