// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// noiseFile is the size, in bytes, of each file in the added layer.
const noiseFile = 1 << 20

// enlarge returns image with a layer of size bytes (whole noiseFiles) below the others.
// It drops the annotations, as they describe another root image.
func enlarge(image v1.Image, size int64) (v1.Image, error) {
	noise, err := noiseLayer(size)
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	larger, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), append([]v1.Layer{noise}, layers...)...)
	if err != nil {
		return nil, fmt.Errorf("adding a layer: %w", err)
	}
	return configured(larger, image)
}

// configured returns image with the configuration of model.
func configured(image, model v1.Image) (v1.Image, error) {
	have, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	want, err := model.ConfigFile()
	if err != nil {
		return nil, err
	}
	want = want.DeepCopy()
	want.RootFS, want.History = have.RootFS, have.History
	return mutate.ConfigFile(image, want)
}

// noiseLayer has files that do not compress. It takes no memory and no disk: each read
// makes it anew.
func noiseLayer(size int64) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeNoise(w, size)) }()
		return r, nil
	}, tarball.WithCompression(compression.ZStd), tarball.WithCompressionLevel(1), tarball.WithMediaType(types.OCILayerZStd))
}

func writeNoise(w io.Writer, size int64) error {
	noise, err := newNoise()
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for i := range size / noiseFile {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/share/noise/%06d", i), Mode: 0o644, Size: noiseFile}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.CopyN(out, noise, noiseFile); err != nil {
			return err
		}
	}
	return out.Close()
}

// newNoise returns an endless stream of bytes that do not compress, the same each time:
// zeros encrypted with a key of zeros.
func newNoise() (io.Reader, error) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return nil, err
	}
	return cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, aes.BlockSize)), R: zeros{}}, nil
}

// zeros is an endless stream of zeros.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// store writes an image to a new OCI layout folder.
func store(dir string, image v1.Image) error {
	path, err := ocilayout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		return fmt.Errorf("writing the image to %s: %w", dir, err)
	}
	return nil
}
