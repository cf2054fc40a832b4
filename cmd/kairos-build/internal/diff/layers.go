// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// A layer is one layer of an image as it was read.
type layer struct {
	tree   Tree
	links  map[string]string // hard links: path and target
	hidden []string          // paths that hide what is below this layer
	opaque []string          // folders whose content of below is hidden
}

// ReadImages reads the trees of images, each given by its layers, bottom to top. A layer that
// several have is read once, and several are read at the same time.
func ReadImages(ctx context.Context, images ...[]slotimage.Layer) ([]Tree, error) {
	unique := map[string]slotimage.Layer{}
	for _, layers := range images {
		for _, l := range layers {
			unique[l.DiffID] = l
		}
	}
	read := map[string]*layer{}
	for id := range unique {
		read[id] = &layer{}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for id, l := range unique {
		to := read[id]
		group.Go(func() (err error) {
			*to, err = readLayer(ctx, l)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var trees []Tree
	for _, layers := range images {
		t := Tree{Entries: map[string]Entry{}, Kept: map[string][]byte{}}
		for _, l := range layers {
			if err := t.put(read[l.DiffID]); err != nil {
				return nil, fmt.Errorf("layer %s: %w", l.DiffID, err)
			}
		}
		trees = append(trees, t)
	}
	return trees, nil
}

// Whiteouts, see the OCI image specification.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

func readLayer(ctx context.Context, from slotimage.Layer) (l layer, err error) {
	l = layer{tree: Tree{Entries: map[string]Entry{}, Kept: map[string][]byte{}}, links: map[string]string{}}
	content, err := from.Open()
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	in := tar.NewReader(content)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, content) // so that all of it is checked
			return l, err
		}
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return l, fmt.Errorf("layer %s: %w", from.DiffID, err)
		}
		if err := l.add(h, in); err != nil {
			return l, fmt.Errorf("layer %s: %s: %w", from.DiffID, h.Name, err)
		}
	}
}

// add adds an entry of a tar stream.
func (l *layer) add(h *tar.Header, content io.Reader) (err error) {
	p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	dir, name := path.Split(p)
	switch {
	case p == "":
		return nil
	case name == opaque:
		l.opaque = append(l.opaque, path.Clean(dir))
		return nil
	case strings.HasPrefix(name, whiteout):
		l.hidden = append(l.hidden, path.Join(dir, strings.TrimPrefix(name, whiteout)))
		return nil
	case h.Typeflag == tar.TypeLink:
		l.links[p] = strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")
		return nil
	}
	e := Entry{Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Size = h.Size
		if e.Sum, err = l.tree.read(p, h.Size, content); err != nil {
			return err
		}
	case tar.TypeSymlink:
		e.Link = h.Linkname
	}
	l.tree.Entries[p] = e
	return nil
}

// put puts a layer on top of the tree.
func (t Tree) put(l *layer) error {
	for _, p := range l.hidden {
		t.remove(p, true)
	}
	for _, dir := range l.opaque {
		t.remove(dir, false)
	}
	for p, e := range l.tree.Entries {
		if old, ok := t.Entries[p]; ok && old.Mode.IsDir() && !e.Mode.IsDir() {
			t.remove(p, true)
		}
		delete(t.Kept, p)
		t.Entries[p] = e
	}
	maps.Copy(t.Kept, l.tree.Kept)
	for p, target := range l.links {
		e, ok := t.Entries[target]
		if !ok {
			return fmt.Errorf("hard link %s to %s, which is not there: %w", p, target, fs.ErrNotExist)
		}
		t.Entries[p] = e
	}
	return nil
}

// remove removes what is below a path, and the path itself if all is true.
func (t Tree) remove(p string, all bool) {
	below := func(name string) bool { return strings.HasPrefix(name, p+"/") || p == "." || all && name == p }
	maps.DeleteFunc(t.Entries, func(name string, _ Entry) bool { return below(name) })
	maps.DeleteFunc(t.Kept, func(name string, _ []byte) bool { return below(name) })
}
