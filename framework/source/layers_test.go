// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// storedAs is a layout with one layer that is stored in a certain way.
func storedAs(t *testing.T, media types.MediaType, options ...tarball.LayerOption) (dir string, layer v1.Hash) {
	t.Helper()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for i := range content {
		content[i] ^= byte(i >> 7 * 31)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		append(options, tarball.WithMediaType(media))...)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	if layer, err = l.Digest(); err != nil {
		t.Fatal(err)
	}
	return testLayout(t, image), layer
}

// TestCompression: the content of a layer decides how it is unpacked, and the
// digest reveals an altered layer, however unpacking ends.
func TestCompression(t *testing.T) {
	for _, tt := range []struct {
		name    string
		media   types.MediaType
		options []tarball.LayerOption
	}{
		{"gzip", types.OCILayer, nil},
		{"zstd", types.OCILayerZStd, []tarball.LayerOption{tarball.WithCompression(compression.ZStd)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, digest := storedAs(t, tt.media, tt.options...)
			image, err := Layout(dir, v1.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			layers, err := Layers(image, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := drain(layers[0].Open()); err != nil {
				t.Error(err)
			}
			path := filepath.Join(dir, "blobs", "sha256", digest.Hex)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 5, len(good) / 3, len(good) / 2, len(good) - 5, len(good) - 1} {
				bad := bytes.Clone(good)
				bad[at] ^= 0x10
				if err := os.WriteFile(path, bad, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := drain(layers[0].Open()); !errors.Is(err, ErrAltered) || !strings.Contains(err.Error(), "blob "+digest.String()) {
					t.Errorf("byte %d: got %v, want ErrAltered that names the blob", at, err)
				}
			}
			if err := os.WriteFile(path, good[:len(good)/2], 0o644); err != nil {
				t.Fatal(err)
			}
			if err := drain(layers[0].Open()); !errors.Is(err, ErrAltered) {
				t.Errorf("the half: got %v, want ErrAltered", err)
			}
		})
	}
}

// TestWindow: the memory that a layer asks for has a limit.
func TestWindow(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(2*maxWindow), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Flush(), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, stop, err := unpack(&b)
	if err == nil {
		defer stop()
		_, err = io.Copy(io.Discard, r)
	}
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("got %v, want ErrWindowSizeExceeded", err)
	}
}

// TestBrokenCompression: a blob that the manifest names, and that cannot be unpacked, is
// no layer. It must not end as if it were whole.
func TestBrokenCompression(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(bytes.Repeat([]byte("0123456789abcdef"), 1<<12)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for name, blob := range map[string][]byte{
		"the half": good[:len(good)/2], "another checksum": flipped(good, len(good)-6), "another header": flipped(good, 2), "a header alone": good[:2],
	} {
		image, err := mutate.AppendLayers(empty.Image, static.NewLayer(blob, types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Layout(testLayout(t, image), v1.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		layers, err := Layers(opened, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := drain(layers[0].Open()); err == nil || !strings.Contains(err.Error(), "unpacking blob sha256:") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
