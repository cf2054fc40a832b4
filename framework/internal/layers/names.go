// SPDX-License-Identifier: Apache-2.0

// Package layers interprets the names in the layers of an OCI image: it decides
// what an upper layer hides of the layers below it. Its users read layers from the
// top down (framework/slot/slotimage, framework/source) or from the bottom up
// (framework/machine/unpack).
//
// # What hides what
//
// The image specification, "Image Layer Filesystem Changeset"
// (https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts):
//
//	DIR/.wh.NAME       hides DIR/NAME, and all that is below it
//	DIR/.wh..wh..opq   hides all that is below DIR
//	NAME, a directory  hides NAME, and nothing that is below it
//	NAME, anything else, a hard link too
//	                   hides NAME, and all that is below it
//
// These rules apply to the layers below, and never to the layer itself, whether the
// marker stands before or after entries of the names that it hides. An entry makes
// its parent directories where the layer has no entries for them, and keeps those of
// the layers below.
//
// Other names that begin with .wh..wh. belong to aufs and are ignored.
package layers

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	markPrefix = ".wh."
	aufsPrefix = ".wh..wh."
	opaqueName = ".wh..wh..opq"
	maxPath    = 4095 // PATH_MAX without its NUL
)

// ErrBadEntry says that a layer has an entry that is not valid, or that contradicts
// another entry.
var ErrBadEntry = errors.New("bad layer entry")

// Clean makes a path from a name in a tar: "./a/b", "/a/b" and "a/b/" are all
// "a/b", and the root is ".". A ".." is an error wherever it stands.
func Clean(name string) (string, error) {
	if len(name) > maxPath || strings.IndexByte(name, 0) >= 0 || name == "" {
		return "", fmt.Errorf("%w: a name of %d bytes (want 1 to %d, without NUL)", ErrBadEntry, len(name), maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: the name has a \"..\"", ErrBadEntry)
		}
	}
	if clean := path.Clean("/" + name)[1:]; clean != "" {
		return clean, nil
	}
	return ".", nil
}

// A Mark hides files of the layers below. A mark with an empty path hides nothing.
type Mark struct {
	Path   string
	Opaque bool // only what is below Path is hidden
}

// ParseMark says whether a name from Clean is a marker and no file.
func ParseMark(name string) (m Mark, ok bool, err error) {
	dir, base := path.Split(name)
	if !strings.HasPrefix(base, markPrefix) {
		return Mark{}, false, nil
	}
	switch hidden := strings.TrimPrefix(base, markPrefix); {
	case base == opaqueName:
		return Mark{Path: path.Clean("./" + dir), Opaque: true}, true, nil
	case strings.HasPrefix(base, aufsPrefix):
		return Mark{}, true, nil
	case hidden == "" || hidden == "." || hidden == "..":
		return Mark{}, true, fmt.Errorf("%w: a whiteout of %q", ErrBadEntry, hidden)
	default:
		return Mark{Path: dir + hidden}, true, nil
	}
}

// Hides tells whether the mark hides path.
func (m Mark) Hides(path string) bool {
	switch m.Path {
	case "":
		return false
	case ".":
		return path != "."
	case path:
		return !m.Opaque
	}
	return strings.HasPrefix(path, m.Path+"/")
}

// Names is the tree of paths that decides which entries are visible. Layers are
// numbered from the bottom up, and are added from the top down: entries (Claim) and
// marks (Hide) of one layer in any order. The zero value is empty.
type Names struct {
	root  name
	paths int // that were added
}

type kind uint8

const (
	unknown kind = iota
	parent       // a directory only because something below it was added
	directory
	other // anything but a directory
)

// A name is one path. An entry of layer n is hidden at this path and below it
// if n < below, and strictly below it also if n < inside.
type name struct {
	kind          kind
	layer         int // that gave the path its kind
	below, inside int
	children      map[string]*name
}

// get returns the name of path, and makes it if it is missing.
func (t *Names) get(path string) (n *name, err error) {
	n = &t.root
	if path == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(path, "/") {
		if n, err = t.child(n, part); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// find returns nil if there is no name for path.
func (t *Names) find(path string) *name {
	n := &t.root
	if path == "." {
		return n
	}
	for part := range strings.SplitSeq(path, "/") {
		if n = n.children[part]; n == nil {
			return nil
		}
	}
	return n
}

// child returns the name of part below n, and makes it if it is missing.
func (t *Names) child(n *name, part string) (*name, error) {
	if c := n.children[part]; c != nil {
		return c, nil
	}
	if t.paths++; t.paths > MaxPaths {
		return nil, fmt.Errorf("%w: more than %d files and folders", ErrTooMany, MaxPaths)
	}
	c := &name{}
	if n.children == nil {
		n.children = map[string]*name{}
	}
	n.children[strings.Clone(part)] = c // part alone, not the path that it is cut from
	return c, nil
}

// Hide applies a mark of a layer.
func (t *Names) Hide(m Mark, layer int) error {
	if m.Path == "" {
		return nil
	}
	n, err := t.get(m.Path)
	switch {
	case err != nil:
		return err
	case m.Opaque:
		n.inside = max(n.inside, layer)
	default:
		n.below = max(n.below, layer)
	}
	return nil
}

// IsFile tells whether the visible file at path is no directory and comes from
// layer.
func (t *Names) IsFile(path string, layer int) bool {
	n := t.find(path)
	return n != nil && n.kind == other && n.layer == layer
}

// Has tells whether a layer that was added has path, or an entry below it.
func (t *Names) Has(path string) bool {
	n := t.find(path)
	return n != nil && n.kind != unknown
}

// IsImplied tells whether path is a directory only because of entries below it.
func (t *Names) IsImplied(path string) bool {
	n := t.find(path)
	return n != nil && n.kind == parent
}

// Visible tells whether no mark or file of the layers above hides path in layer. An
// upper directory at path itself does not count: see Has.
func (t *Names) Visible(path string, layer int) bool {
	n := &t.root
	if path == "." {
		return true // no marker can name the root
	}
	for part := range strings.SplitSeq(path, "/") {
		if layer < n.below || layer < n.inside {
			return false
		}
		if n = n.children[part]; n == nil {
			return true
		}
	}
	return layer >= n.below
}

// Claim says whether an entry of layer at path is visible, and if so claims the path
// for it. The same layer may claim a directory twice.
func (t *Names) Claim(path string, layer int, isDir bool) (visible bool, err error) {
	n, visible, err := t.walk(path, layer)
	if !visible || err != nil {
		return false, err
	}
	if isDir {
		return n.claimDir(layer)
	}
	return n.claimOther(layer)
}

// walk goes down to path and checks that layer is visible there. The visible
// directories on the way exist from then on, even if path is hidden.
func (t *Names) walk(path string, layer int) (n *name, visible bool, err error) {
	n = &t.root
	if path == "." {
		return n, true, nil // no marker can name the root
	}
	for part := range strings.SplitSeq(path, "/") {
		if n.kind == other && layer == n.layer {
			return nil, false, fmt.Errorf("%w: the layer has something that is no directory at one of its parents", ErrBadEntry)
		}
		if n.kind == unknown {
			n.kind, n.layer = parent, layer
		}
		if layer < n.inside || layer < n.below {
			return nil, false, nil
		}
		if n, err = t.child(n, part); err != nil {
			return nil, false, err
		}
		if layer < n.below {
			return nil, false, nil
		}
	}
	return n, true, nil
}

// Implied returns the directories that exist only because of entries below them,
// sorted by path.
func (t *Names) Implied() []string {
	var out []string
	for part, c := range t.root.children {
		out = c.implied(part, out)
	}
	slices.Sort(out)
	return out
}

func (n *name) implied(path string, out []string) []string {
	if n.kind == parent {
		out = append(out, path)
	}
	for part, c := range n.children {
		out = c.implied(path+"/"+part, out)
	}
	return out
}

func (n *name) claimDir(layer int) (bool, error) {
	switch {
	case n.kind == other: // of the same layer: one from above would hide this entry
		return false, fmt.Errorf("%w: the layer has it twice, once as a directory", ErrBadEntry)
	case n.kind == directory && n.layer > layer:
		return false, nil
	}
	n.kind, n.layer = directory, layer
	return true, nil
}

func (n *name) claimOther(layer int) (bool, error) {
	switch {
	case n.kind == directory && n.layer > layer:
		n.inside = max(n.inside, layer) // hides the directory's content in lower layers
		return false, nil
	case n.kind == directory:
		return false, fmt.Errorf("%w: the layer has it twice, once as a directory", ErrBadEntry)
	case n.kind == parent:
		return false, fmt.Errorf("%w: it is no directory, but layer %d has entries below it (and none for itself)", ErrBadEntry, n.layer)
	}
	n.kind, n.layer, n.below = other, layer, max(n.below, layer)
	return true, nil
}
