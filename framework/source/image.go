// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A storedImage is an image in a store, as partial.CompressedToImage wants it. Its
// manifest and configuration were checked on opening; a layer is checked while it
// is read.
type storedImage struct {
	store            store
	media            types.MediaType
	manifest, config []byte
	layers           map[v1.Hash]v1.Descriptor
}

// openImage checks the manifest in data, and reads its configuration.
func openImage(s store, media types.MediaType, data []byte) (v1.Image, error) {
	digest := sha256Of(data)
	if err := checkShape(digest, data, "manifests"); err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: reading manifest %s: %w", ErrNotImage, digest, err)
	}
	if len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: manifest %s lists %d layers, more than the %d that are read", ErrNotImage, digest, len(m.Layers), maxLayers)
	}
	image := &storedImage{store: s, media: media, manifest: data, layers: map[v1.Hash]v1.Descriptor{}}
	for _, layer := range m.Layers {
		if err := image.list(layer); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", digest, err)
		}
	}
	if m.Config.Size < 0 {
		return nil, fmt.Errorf("manifest %s: %w: its configuration has a size of %d bytes", digest, ErrNotImage, m.Config.Size)
	}
	if image.config, err = readDocument(s, "configuration", m.Config); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(image)
}

// list adds a layer of the manifest. A layer that is listed twice must have the
// same size both times.
func (i *storedImage) list(layer v1.Descriptor) error {
	if err := checkDescriptor("layer", layer); err != nil {
		return err
	}
	known, twice := i.layers[layer.Digest]
	if layer.Size < 0 || twice && known.Size != layer.Size {
		return fmt.Errorf("%w: layer %s has a size of %d bytes", ErrNotImage, layer.Digest, layer.Size)
	}
	i.layers[layer.Digest] = layer
	return nil
}

func (i *storedImage) MediaType() (types.MediaType, error) { return i.media, nil }
func (i *storedImage) RawManifest() ([]byte, error)        { return i.manifest, nil }
func (i *storedImage) RawConfigFile() ([]byte, error)      { return i.config, nil }

func (i *storedImage) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	layer, ok := i.layers[digest]
	if !ok {
		return nil, fmt.Errorf("%w: the manifest lists no layer %s", ErrMissing, digest)
	}
	return &storedLayer{i.store, layer}, nil
}

type storedLayer struct {
	store      store
	descriptor v1.Descriptor
}

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.descriptor.Digest, nil }
func (l *storedLayer) Size() (int64, error)                { return l.descriptor.Size, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.descriptor.MediaType, nil }

// Exists spares partial.Exists from reading the layer.
func (l *storedLayer) Exists() (bool, error) { return l.store.has(l.descriptor) }

func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	return openBlob(l.store, "blob", l.descriptor)
}

const (
	// maxDepth is how deep indexes may be nested: builders nest two.
	maxDepth = 4
	// maxLayers is how many layers an image may have: container engines take about 128.
	maxLayers = 512
	// maxManifests is how many manifests are read to find the right one.
	maxManifests = 256
)

// A search looks for the image for a platform in an index, and in the indexes
// inside it.
type search struct {
	store store
	want  v1.Platform
	read  int       // manifests
	have  []string  // platforms of images that are not wanted
	chain []v1.Hash // of the documents that lead to the one that is looked at
}

// find opens the image for want, given the content of a manifest or an index. The
// caller has checked the content as far as possible. The chain has the digests from the
// given document down to the image's manifest.
func find(s store, media types.MediaType, data []byte, want v1.Platform) (image v1.Image, chain []v1.Hash, err error) {
	f := &search{store: s, want: want}
	image, err = f.document(media, data, 0)
	if image == nil && err == nil {
		err = mismatch(want, f.have)
	}
	return image, f.chain, err
}

// document returns the image for want in a manifest or an index, or nil.
func (f *search) document(media types.MediaType, data []byte, depth int) (image v1.Image, err error) {
	digest := sha256Of(data)
	f.chain = append(f.chain, digest)
	switch media = mediaOf(media, data); {
	case media.IsIndex():
		image, err = f.index(data, depth)
	case media.IsImage():
		image, err = f.image(media, data)
	default:
		err = fmt.Errorf("%w: %s is %s, want an image or an index", ErrNotImage, digest, media)
	}
	if image == nil {
		f.chain = f.chain[:len(f.chain)-1]
	}
	return image, err
}

// mediaOf returns the media type of a document. A server of plain files may not
// know it, but the document tells.
func mediaOf(media types.MediaType, data []byte) types.MediaType {
	if media.IsIndex() || media.IsImage() || media.IsSchema1() {
		return media
	}
	var document struct {
		MediaType types.MediaType `json:"mediaType"`
		Config    json.RawMessage `json:"config"`
		Manifests json.RawMessage `json:"manifests"`
	}
	switch err := json.Unmarshal(data, &document); {
	case err != nil:
		return media
	case document.MediaType != "":
		return document.MediaType
	case document.Manifests != nil:
		return types.OCIImageIndex
	case document.Config != nil:
		return types.OCIManifestSchema1
	}
	return media
}

func (f *search) image(media types.MediaType, data []byte) (v1.Image, error) {
	image, err := openImage(f.store, media, data)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("%w: reading the configuration of %s: %w", ErrNotImage, sha256Of(data), err)
	}
	is := v1.Platform{OS: config.OS, Architecture: config.Architecture}
	if is.Satisfies(f.want) {
		return image, nil
	}
	f.have = append(f.have, is.String())
	return nil, nil
}

func (f *search) index(data []byte, depth int) (v1.Image, error) {
	digest := sha256Of(data)
	if depth == maxDepth {
		return nil, fmt.Errorf("%w: index %s lies %d indexes deep, which is the limit", ErrNotImage, digest, maxDepth)
	}
	if err := checkShape(digest, data, "layers"); err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: reading index %s: %w", ErrNotImage, digest, err)
	}
	for _, entry := range index.Manifests {
		image, err := f.entry(entry, depth)
		if err != nil || image != nil {
			return image, err
		}
	}
	return nil, nil
}

// entry follows an entry of an index, unless the entry is neither an image nor an
// index, or the index gives another platform for it: an archive of one platform
// may leave out the images of other platforms.
func (f *search) entry(entry v1.Descriptor, depth int) (v1.Image, error) {
	if !entry.MediaType.IsIndex() && !entry.MediaType.IsImage() {
		return nil, nil
	}
	if p := entry.Platform; p != nil && (p.OS != "" || p.Architecture != "") && !p.Satisfies(f.want) {
		if p.OS != "unknown" { // that is how BuildKit marks attestations
			f.have = append(f.have, p.String())
		}
		return nil, nil
	}
	if f.read++; f.read > maxManifests {
		return nil, fmt.Errorf("%w: it lists more than the %d images and indexes that are read", ErrNotImage, maxManifests)
	}
	what := "manifest"
	if entry.MediaType.IsIndex() {
		what = "index"
	}
	if entry.Size < 0 {
		return nil, fmt.Errorf("%w: %s %s has a size of %d bytes", ErrNotImage, what, entry.Digest, entry.Size)
	}
	data, err := readDocument(f.store, what, entry)
	if err != nil {
		return nil, err
	}
	return f.document(entry.MediaType, data, depth+1)
}

func mismatch(want v1.Platform, have []string) error {
	if len(have) == 0 {
		return fmt.Errorf("%w: its index lists none", ErrNotImage)
	}
	for i, p := range have {
		if p == "" {
			have[i] = "an image that names no platform"
		}
	}
	return fmt.Errorf("%w: wanted %s, found %s", ErrPlatform, want.String(), strings.Join(have, ", "))
}
