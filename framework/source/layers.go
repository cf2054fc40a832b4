// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// maxWindow is the largest window of a zstd layer, in bytes. It bounds the memory
// that a layer takes. Builders use 8 MiB or less; zstd's own program uses more
// from level 20 on, and exceeds the limit only with --ultra -22 and --long.
const maxWindow = 64 << 20

// Layers returns the image's layers as slotimage reads them, bottom to top. Each
// is checked while it is read, in its stored and its unpacked form: a layer that
// was read to its end without an error is the one that the manifest and the
// configuration name. watch, if it is not nil, is called with the number of stored
// bytes that were read, by one goroutine for each open layer.
func Layers(image v1.Image, watch func(n int)) ([]slotimage.Layer, error) {
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
	root, err := rootFormat(config.Config.Labels)
	if err != nil {
		return nil, err
	}
	result := make([]slotimage.Layer, len(layers))
	for i, layer := range layers {
		id := config.RootFS.DiffIDs[i]
		result[i] = slotimage.Layer{DiffID: id.String(), Root: root, Open: func() (io.ReadCloser, error) { return open(layer, id, watch) }}
	}
	return result, nil
}

// rootFormat reads layout.LabelRoot. An image that was made of ours with a Dockerfile has the
// label too.
func rootFormat(labels map[string]string) (layout.FileSystem, error) {
	switch f := layout.FileSystem(labels[layout.LabelRoot]); f {
	case "", layout.EROFS:
		return layout.EROFS, nil
	case layout.SquashFS:
		return f, nil
	default:
		return "", fmt.Errorf("%w: its label %s asks for a root image of the format %.40q; this version knows %s and %s", ErrNotImage, layout.LabelRoot, f, layout.EROFS, layout.SquashFS)
	}
}

// open returns the layer's tar.
func open(layer v1.Layer, id v1.Hash, watch func(n int)) (io.ReadCloser, error) {
	digest, err := layer.Digest()
	if err != nil {
		return nil, err
	}
	stored, err := layer.Compressed()
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, fetch.Scrubbed(err))
	}
	blob, ok := stored.(*blobReader)
	if !ok { // an image that is not from Open
		blob = newBlobReader(stored, "blob", v1.Descriptor{Digest: digest, Size: unknown})
	}
	blob.watch = watch
	content, stop, err := unpack(blob)
	if err != nil {
		return nil, errors.Join(blob.judge(err), stored.Close())
	}
	l := &openLayer{blob: &blob.checked, content: content, close: func() error { stop(); return stored.Close() }}
	l.tar = &checked{Reader: content, what: "layer", want: id, size: unknown, sum: sha256.New()}
	return l, nil
}

// openLayer is a layer that is being read.
type openLayer struct {
	blob, tar *checked
	content   io.Reader
	close     func() error
}

// Read implements io.Reader. At the end of the tar it reads the rest of the blob.
func (l *openLayer) Read(p []byte) (int, error) {
	n, err := l.tar.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) || errors.Is(err, ErrAltered):
		if _, rest := io.Copy(io.Discard, l.blob); rest != nil {
			return n, rest
		}
		return n, err
	}
	return n, l.blob.judge(err)
}

// Close implements io.Closer.
func (l *openLayer) Close() error { return l.close() }

// unpack undoes the compression, which the first bytes tell. stop frees its memory.
func unpack(r io.Reader) (content io.Reader, stop func(), err error) {
	head := bufio.NewReaderSize(r, 64<<10)
	magic, err := head.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(head)
		return z, func() {}, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine: the reader of a layer may read its blob to the end too.
		z, err := zstd.NewReader(head, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow),
			zstd.IgnoreChecksum(true)) // the digest of the blob, and that of what is in it, are checked
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return head, func() {}, nil
}
