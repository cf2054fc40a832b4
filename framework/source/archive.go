// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A layoutArchive is the store of an OCI layout in a tar. It knows where each blob
// lies in the file; the tar is not unpacked.
type layoutArchive struct {
	file  string
	at    map[v1.Hash]span
	index []byte
}

// maxBlobs is how many blobs an archive may have. Each takes memory.
const maxBlobs = 16 << 10

type span struct{ offset, size int64 }

// archive opens the image for want in a tar of an OCI layout. The index in it
// may list one image or several.
func archive(file string, want v1.Platform) (*Image, error) {
	a, err := scan(file)
	if errors.Is(err, ErrTooLarge) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: want a tar of an OCI layout, not compressed", file, ErrNotImage, err)
	}
	image, err := inLayout(a, a.index, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return image, nil
}

func scan(file string) (*layoutArchive, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &layoutArchive{file: file, at: map[v1.Hash]span{}}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		switch dir, base := path.Split(path.Clean(h.Name)); {
		case base == "index.json" && dir == "":
			if a.index, err = readAll(r, "index.json"); err != nil {
				return nil, err
			}
		case h.Typeflag == tar.TypeReg && dir == "blobs/sha256/":
			if len(a.at) == maxBlobs {
				return nil, fmt.Errorf("%w: it has more than the %d blobs that are read of an archive", ErrTooLarge, maxBlobs)
			}
			a.at[v1.Hash{Algorithm: "sha256", Hex: base}] = span{offset, h.Size}
		}
	}
	if a.index == nil {
		return nil, errors.New("it has no index.json")
	}
	return a, nil
}

func (a *layoutArchive) has(blob v1.Descriptor) (bool, error) {
	_, ok := a.at[blob.Digest]
	return ok, nil
}

func (a *layoutArchive) open(blob v1.Descriptor) (io.ReadCloser, error) {
	at, ok := a.at[blob.Digest]
	if !ok {
		return nil, fmt.Errorf("%w: blob %s is missing from the archive", ErrMissing, blob.Digest)
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, at.offset, at.size), f}, nil
}
