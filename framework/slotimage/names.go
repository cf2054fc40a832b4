// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"fmt"
	"strings"
)

// names is the tree of paths that decides which entries are visible. Layers
// are merged from the highest number down.
type names struct{ root *name }

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
	layer         int // that made it what it is
	below, inside int
	children      map[string]*name
}

// get makes the name of path if there is none.
func (t names) get(path string) *name {
	n := t.root
	if path == "." {
		return n
	}
	for part := range strings.SplitSeq(path, "/") {
		n = n.child(part)
	}
	return n
}

// find returns nil if there is no name for path.
func (t names) find(path string) *name {
	n := t.root
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

func (n *name) child(part string) *name {
	c := n.children[part]
	if c == nil {
		c = &name{}
		if n.children == nil {
			n.children = map[string]*name{}
		}
		n.children[part] = c
	}
	return c
}

// hide applies a whiteout of layer.
func (t names) hide(w whiteout, layer int) {
	n := t.get(w.path)
	if w.opaque {
		n.inside = max(n.inside, layer)
	} else {
		n.below = max(n.below, layer)
	}
}

// claim says whether an entry of layer at path is visible, and if so takes the
// path for it. A directory that is visible may have been claimed before.
func (t names) claim(path string, layer int, isDir bool) (visible bool, err error) {
	n, visible, err := t.walk(path, layer)
	if !visible || err != nil {
		return false, err
	}
	if isDir {
		return n.claimDir(layer)
	}
	return n.claimOther(layer)
}

// walk goes down to path and checks that layer is visible there.
func (t names) walk(path string, layer int) (n *name, visible bool, err error) {
	n = t.root
	if path == "." {
		return n, true, nil // no whiteout can name the root
	}
	var parents []*name
	for part := range strings.SplitSeq(path, "/") {
		if layer < n.below || layer < n.inside {
			return nil, false, nil
		}
		if n.kind == other {
			return nil, false, fmt.Errorf("%w: layer %d has something that is no directory at one of its parents", ErrBadEntry, n.layer)
		}
		parents = append(parents, n)
		n = n.child(part)
	}
	if layer < n.below {
		return nil, false, nil
	}
	for _, p := range parents {
		if p.kind == unknown {
			p.kind, p.layer = parent, layer
		}
	}
	return n, true, nil
}

func (n *name) claimDir(layer int) (bool, error) {
	switch {
	case n.kind == other: // of the same layer, or it would hide this entry
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
		n.inside = max(n.inside, layer) // it ends what lower layers have in the directory
		return false, nil
	case n.kind == directory:
		return false, fmt.Errorf("%w: the layer has it twice, once as a directory", ErrBadEntry)
	case n.kind == parent:
		return false, fmt.Errorf("%w: it is no directory, but layer %d has entries below it (and none for itself)", ErrBadEntry, n.layer)
	}
	n.kind, n.layer, n.below = other, layer, max(n.below, layer)
	return true, nil
}
