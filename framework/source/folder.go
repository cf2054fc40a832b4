// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layout opens the image for want in an OCI layout folder.
func Layout(dir string, want v1.Platform) (v1.Image, error) {
	image, err := layoutImage(dir, want)
	if err != nil {
		return nil, err
	}
	return image.Image, nil
}

func layoutImage(dir string, want v1.Platform) (*Image, error) {
	index, err := openFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: want a folder with oci-layout and index.json", dir, ErrNotImage, err)
	}
	data, err := readAll(index, "index.json")
	if err := errors.Join(err, index.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	image, err := inLayout(layoutFolder(dir), data, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return image, nil
}

// inLayout opens the image for want in a layout with an index.json. Nothing names the
// index.json by its digest, so it is not in the chain.
func inLayout(s store, index []byte, want v1.Platform) (*Image, error) {
	image, chain, err := find(s, types.OCIImageIndex, index, want)
	if err != nil {
		return nil, err
	}
	return &Image{Image: image, Chain: chain[1:], shelves: []shelf{layoutShelf{s, index}}}, nil
}

// A layoutFolder is the store of an OCI layout folder.
type layoutFolder string

func (f layoutFolder) path(blob v1.Descriptor) string {
	return filepath.Join(string(f), "blobs", blob.Digest.Algorithm, blob.Digest.Hex)
}

func (f layoutFolder) open(blob v1.Descriptor) (io.ReadCloser, error) {
	r, err := openFile(f.path(blob))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: blob %s is missing from the folder", ErrMissing, blob.Digest)
	}
	return r, err
}

func (f layoutFolder) has(blob v1.Descriptor) (bool, error) {
	_, err := os.Stat(f.path(blob))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openFile opens a regular file: a pipe would never end.
func openFile(path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.Open(path)
}
