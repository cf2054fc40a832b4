// SPDX-License-Identifier: Apache-2.0

// Package testimage makes small container images for tests, and opens those that a build
// made.
package testimage

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// An Entry is a member of a layer. The header needs no size: Layer sets it from Content.
type Entry struct {
	Header  tar.Header
	Content string
}

// File is a regular file that every user may read.
func File(name, content string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

// Layer makes a layer, compressed with gzip.
func Layer(entries ...Entry) (v1.Layer, error) {
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, e := range entries {
		e.Header.Size = int64(len(e.Content))
		if err := w.WriteHeader(&e.Header); err != nil {
			return nil, fmt.Errorf("a test's layer: %s: %w", e.Header.Name, err)
		}
		if _, err := io.WriteString(w, e.Content); err != nil {
			return nil, fmt.Errorf("a test's layer: %s: %w", e.Header.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("a test's layer: %w", err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stream.Bytes())), nil })
}

// Image makes an image with a layer for each list of entries, lowest first. It names no
// platform; see For.
func Image(layers ...[]Entry) (v1.Image, error) {
	all := make([]v1.Layer, len(layers))
	for i, entries := range layers {
		var err error
		if all[i], err = Layer(entries...); err != nil {
			return nil, err
		}
	}
	return mutate.AppendLayers(empty.Image, all...)
}

// For sets the platform of an image: Linux on an architecture.
func For(image v1.Image, arch string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	return mutate.ConfigFile(image, config)
}
