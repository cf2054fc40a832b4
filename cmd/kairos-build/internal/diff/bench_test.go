// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// BenchmarkGigabytes compares two images of 1 GB without a layer in common, each of eight
// layers of files that zstd halves.
func BenchmarkGigabytes(b *testing.B) {
	var images [2][]slotimage.Layer
	for i := range images {
		for l := range 8 {
			images[i] = append(images[i], bigLayer(b, uint64(i*8+l), l))
		}
	}
	b.SetBytes(2 * 8 * 125e6)
	for b.Loop() {
		trees, err := ReadImages(b.Context(), images[0], images[1])
		if err != nil {
			b.Fatal(err)
		}
		r := Compare(&Side{Tree: trees[0], Layers: []Layer{}}, &Side{Tree: trees[1], Layers: []Layer{}})
		if r.Files.Changed != 8*1000 {
			b.Fatalf("%d files changed", r.Files.Changed)
		}
	}
}

// bigLayer is a layer of 1000 files of 125 kB.
func bigLayer(b *testing.B, seed uint64, number int) slotimage.Layer {
	b.Helper()
	path := filepath.Join(b.TempDir(), "layer")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	z, err := zstd.NewWriter(f)
	if err != nil {
		b.Fatal(err)
	}
	t, noise := tar.NewWriter(z), rand.NewChaCha8([32]byte{byte(seed)})
	data := make([]byte, 125e3)
	for i := range 1000 {
		_, _ = noise.Read(data[:len(data)/2]) // it never fails
		err = errors.Join(err, t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/%d/%d", number, i), Size: int64(len(data)), Mode: 0o644}))
		_, writeErr := t.Write(data)
		err = errors.Join(err, writeErr)
	}
	if err := errors.Join(err, t.Close(), z.Close(), f.Close()); err != nil {
		b.Fatal(err)
	}
	return slotimage.Layer{DiffID: fmt.Sprint("sha256:", seed), Open: func() (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		z, err := zstd.NewReader(bufio.NewReaderSize(f, 1<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return &opened{z.IOReadCloser(), f}, nil
	}}
}

type opened struct {
	io.ReadCloser
	file *os.File
}

func (o *opened) Close() error { return errors.Join(o.ReadCloser.Close(), o.file.Close()) }
