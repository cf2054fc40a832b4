// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxFile is the largest file, in bytes, that Files reads into memory.
const maxFile = 32 << 20

// Files reads single files of an image as a container would see them: the
// uppermost layer that has one counts. Symbolic links are not followed; a file
// that is not there is not in the result.
func Files(image v1.Image, names ...string) (map[string][]byte, error) {
	layers, err := Layers(image)
	if err != nil {
		return nil, err
	}
	found, gone := map[string][]byte{}, map[string]bool{}
	for _, layer := range slices.Backward(layers) {
		r, err := layer.Open()
		if err != nil {
			return nil, err
		}
		err = scanLayer(r, names, found, gone)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("reading layer %s: %w", layer.DiffID, err)
		}
	}
	return found, nil
}

// scanLayer adds what one layer has; what it hides is hidden for the layers
// below it.
func scanLayer(r io.Reader, names []string, found map[string][]byte, gone map[string]bool) error {
	hides := map[string]bool{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			for name := range hides {
				gone[name] = true
			}
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if dir, base := path.Split(name); strings.HasPrefix(base, ".wh.") {
			hides[dir+strings.TrimPrefix(base, ".wh.")] = true
			continue
		}
		if !slices.Contains(names, name) || gone[name] || found[name] != nil || h.Typeflag != tar.TypeReg {
			continue
		}
		if found[name], err = io.ReadAll(io.LimitReader(t, maxFile)); err != nil {
			return err
		}
	}
}
