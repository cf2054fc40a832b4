// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
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
	found, _, err := Peek(image, math.MaxInt64, names...)
	return found, err
}

// Peek is Files that reads at most limit bytes of layers as they are stored,
// uppermost first, and none after all names are found. It says whether it read
// enough to know of every name; what it did not find may be there if not.
func Peek(image v1.Image, limit int64, names ...string) (found map[string][]byte, complete bool, err error) {
	layers, err := Layers(image, nil)
	if err != nil {
		return nil, false, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, false, err
	}
	l := lookup{names: names, found: map[string][]byte{}, gone: map[string]bool{}}
	for i, layer := range slices.Backward(layers) {
		if l.done() {
			break
		}
		if limit -= manifest.Layers[i].Size; limit < 0 {
			return l.found, false, nil
		}
		r, err := layer.Open()
		if err != nil {
			return nil, false, err
		}
		if err := errors.Join(l.layer(r), r.Close()); err != nil {
			return nil, false, fmt.Errorf("reading layer %s: %w", layer.DiffID, err)
		}
	}
	return l.found, true, nil
}

// A lookup reads layers from the top down.
type lookup struct {
	names []string
	found map[string][]byte
	gone  map[string]bool // hidden by a layer that was read
}

func (l *lookup) done() bool {
	return !slices.ContainsFunc(l.names, func(name string) bool { return l.found[name] == nil && !l.gone[name] })
}

// layer adds what one layer has; what it hides is hidden for the layers below
// it. The layer is read to its end, so that it is checked.
func (l *lookup) layer(r io.Reader) error {
	var hidden []string
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			for _, name := range hidden {
				l.gone[name] = true
			}
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		hidden = append(hidden, l.hiddenBy(h)...)
		if name := cleanName(h.Name); l.wants(name) && h.Typeflag == tar.TypeReg {
			if l.found[name], err = io.ReadAll(io.LimitReader(t, maxFile)); err != nil {
				return err
			}
		}
	}
}

func cleanName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (l *lookup) wants(name string) bool {
	return slices.Contains(l.names, name) && !l.gone[name] && l.found[name] == nil
}

// Whiteouts of the OCI image specification, "Image Layer Filesystem Changeset".
const (
	whiteout       = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
)

// hiddenBy are the names that an entry hides in the layers below: those of a
// whiteout and of everything in it, those in an opaque folder, and those at and
// below anything else that is no folder.
func (l *lookup) hiddenBy(h *tar.Header) []string {
	name := cleanName(h.Name)
	dir, base := path.Split(name)
	self := true
	switch {
	case base == opaqueWhiteout:
		name, self = strings.TrimSuffix(dir, "/"), false
	case strings.HasPrefix(base, whiteout):
		name = dir + strings.TrimPrefix(base, whiteout)
	case h.Typeflag == tar.TypeDir:
		return nil
	}
	var out []string
	for _, wanted := range l.names {
		if self && wanted == name || name == "" || strings.HasPrefix(wanted, name+"/") {
			out = append(out, wanted)
		}
	}
	return out
}
