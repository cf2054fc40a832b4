// SPDX-License-Identifier: Apache-2.0

package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/slotimage"
)

// Layers are the image's layers as slotimage reads them, bottom to top. Each
// is checked against its diff ID while it is read: a layer that was read to
// its end without an error is the one the configuration names.
func Layers(image v1.Image) ([]slotimage.Layer, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%w: it has %d layers and %d diff IDs", ErrNotImage, len(layers), len(config.RootFS.DiffIDs))
	}
	result := make([]slotimage.Layer, len(layers))
	for i, layer := range layers {
		id := config.RootFS.DiffIDs[i]
		result[i] = slotimage.Layer{DiffID: id.String(), Open: func() (io.ReadCloser, error) { return verified(layer, id) }}
	}
	return result, nil
}

func verified(layer v1.Layer, want v1.Hash) (io.ReadCloser, error) {
	r, err := layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	return &verifier{ReadCloser: r, want: want, sum: sha256.New()}, nil
}

// verifier turns the end of a stream into an error when its sum is wrong.
type verifier struct {
	io.ReadCloser
	want v1.Hash
	sum  hash.Hash
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := hex.EncodeToString(v.sum.Sum(nil)); got != v.want.Hex {
			return n, fmt.Errorf("layer is altered: its content has sha256:%s, the configuration says %s", got, v.want)
		}
	}
	return n, err
}
