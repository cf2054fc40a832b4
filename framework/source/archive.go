// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// blobs is an OCI layout inside a tar: where each blob lies in the file. The
// tar is not unpacked.
type blobs struct {
	file string
	at   map[v1.Hash]span
}

type span struct{ offset, size int64 }

// maxIndex is more than any index.json needs, in bytes.
const maxIndex = 4 << 20

// archive opens the image for want in a tar of an OCI layout. The index in it
// may list one image or several.
func archive(file string, want v1.Platform) (v1.Image, error) {
	b, index, err := scan(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: want a tar of an OCI layout, not compressed", file, ErrNotImage, err)
	}
	return b.pick(index, want)
}

func scan(file string) (*blobs, []byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b := &blobs{file: file, at: map[v1.Hash]span{}}
	var index []byte
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, err
		}
		switch dir, base := path.Split(path.Clean(h.Name)); {
		case base == "index.json" && dir == "":
			if index, err = io.ReadAll(io.LimitReader(r, maxIndex)); err != nil {
				return nil, nil, err
			}
		case h.Typeflag == tar.TypeReg && dir == "blobs/sha256/":
			b.at[v1.Hash{Algorithm: "sha256", Hex: base}] = span{offset, h.Size}
		}
	}
	if index == nil {
		return nil, nil, errors.New("it has no index.json")
	}
	return b, index, nil
}

// pick walks the index, and an index in it, for the image for want.
func (b *blobs) pick(index []byte, want v1.Platform) (v1.Image, error) {
	manifest, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return nil, fmt.Errorf("%s: reading index.json: %w", b.file, err)
	}
	var have []string
	for _, desc := range manifest.Manifests {
		raw, err := b.read(desc.Digest)
		if err != nil {
			return nil, err
		}
		if desc.MediaType.IsIndex() {
			return b.pick(raw, want)
		}
		if !desc.MediaType.IsImage() {
			continue
		}
		image, err := partial.CompressedToImage(&archived{b, desc.MediaType, raw})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.file, err)
		}
		is, err := platform(image)
		if err != nil {
			return nil, err
		}
		if is.Satisfies(want) {
			return image, nil
		}
		have = append(have, is.String())
	}
	return nil, mismatch(b.file, want, have)
}

func (b *blobs) open(digest v1.Hash) (io.ReadCloser, error) {
	at, ok := b.at[digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w: blob %s is missing from the archive", b.file, ErrMissing, digest)
	}
	f, err := os.Open(b.file)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, at.offset, at.size), f}, nil
}

func (b *blobs) read(digest v1.Hash) (_ []byte, err error) {
	r, err := b.open(digest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}

// archived is an image in a tar, as partial.CompressedToImage wants it.
type archived struct {
	blobs    *blobs
	media    types.MediaType
	manifest []byte
}

func (a *archived) MediaType() (types.MediaType, error) { return a.media, nil }
func (a *archived) RawManifest() ([]byte, error)        { return a.manifest, nil }

func (a *archived) RawConfigFile() ([]byte, error) {
	var m v1.Manifest
	if err := json.Unmarshal(a.manifest, &m); err != nil {
		return nil, fmt.Errorf("%s: reading a manifest: %w", a.blobs.file, err)
	}
	return a.blobs.read(m.Config.Digest)
}

func (a *archived) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	return &archivedLayer{a.blobs, digest}, nil
}

type archivedLayer struct {
	blobs  *blobs
	digest v1.Hash
}

func (l *archivedLayer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *archivedLayer) Compressed() (io.ReadCloser, error)  { return l.blobs.open(l.digest) }
func (l *archivedLayer) Size() (int64, error)                { return l.blobs.at[l.digest].size, nil }
func (l *archivedLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }
