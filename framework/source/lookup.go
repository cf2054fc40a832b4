// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// maxFile is the largest file, in bytes, that Files reads into memory.
const maxFile = 32 << 20

// Files reads single files of an image as a container would see them: the
// uppermost layer with the file counts. Symbolic links are not followed; missing
// files are not in the result.
func Files(image v1.Image, names ...string) (map[string][]byte, error) {
	stored, err := Layers(image, nil)
	if err != nil {
		return nil, err
	}
	return FilesIn(stored, names...)
}

// FilesIn is Files for the layers of an image, bottom to top.
func FilesIn(stored []slotimage.Layer, names ...string) (map[string][]byte, error) {
	l := lookup{names: names, found: map[string][]byte{}, below: len(stored)}
	for i, layer := range slices.Backward(stored) {
		if l.done() {
			break
		}
		r, err := layer.Open()
		if err != nil {
			return nil, err
		}
		if err := errors.Join(l.layer(r, i), r.Close()); err != nil {
			return nil, fmt.Errorf("reading layer %s: %w", layer.DiffID, err)
		}
	}
	return l.found, nil
}

// A lookup reads layers from the top down.
type lookup struct {
	names   []string
	found   map[string][]byte
	visible layers.Names // of the names and their parents
	below   int          // the layer that was read last
	budget  layers.Budget
}

// done tells whether the layers below cannot add any of the names.
func (l *lookup) done() bool {
	return !slices.ContainsFunc(l.names, func(name string) bool { return l.found[name] == nil && l.visible.Visible(name, l.below-1) })
}

// layer adds the files of one layer. It reads the layer to its end, which checks it.
func (l *lookup) layer(r io.Reader, number int) error {
	l.below = number
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err == nil && h.Typeflag != tar.TypeXGlobalHeader {
			err = l.entry(h, t, number)
		}
		if err != nil {
			return err
		}
	}
}

func (l *lookup) entry(h *tar.Header, content io.Reader, number int) error {
	if err := l.budget.Take(h); err != nil {
		return err
	}
	name, err := layers.Clean(h.Name)
	if err != nil {
		return fmt.Errorf("%.200q: %w", h.Name, err)
	}
	if mark, ok, err := layers.ParseMark(name); ok || err != nil {
		if err != nil {
			return err
		}
		return l.visible.Hide(mark, number)
	}
	if !l.concerns(name) {
		return nil
	}
	visible, err := l.visible.Claim(name, number, h.Typeflag == tar.TypeDir)
	if !visible || err != nil || !slices.Contains(l.names, name) {
		return err
	}
	delete(l.found, name) // the layer has it twice: the last one counts
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	if h.Size > maxFile {
		return fmt.Errorf("%w: /%s has %d bytes, more than the %d that are read of a file", ErrTooLarge, name, h.Size, maxFile)
	}
	l.found[name], err = io.ReadAll(content)
	return err
}

// concerns tells whether name is one of the wanted names, or a folder above one.
func (l *lookup) concerns(name string) bool {
	return slices.ContainsFunc(l.names, func(wanted string) bool { return wanted == name || strings.HasPrefix(wanted, name+"/") })
}
