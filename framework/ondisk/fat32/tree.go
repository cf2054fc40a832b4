// SPDX-License-Identifier: Apache-2.0

package fat32

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

const entrySize = 32

// A node is a file or a directory and, after allocation, its clusters.
type node struct {
	path     string
	name     shortName
	dir      bool
	data     []byte
	parent   *node
	children []*node // sorted by name
	first    uint32  // cluster; 0 when empty
	clusters uint32
}

// newTree makes the root directory with everything below it.
func newTree(files []File) (*node, error) {
	root := &node{path: "/", dir: true}
	for _, f := range files {
		if err := root.add(f); err != nil {
			return nil, err
		}
	}
	root.sort()
	return root, nil
}

func (n *node) add(f File) error {
	if int64(len(f.Data)) > math.MaxUint32 {
		return fmt.Errorf("%q: %d bytes: a file on FAT is at most 4 GiB", f.Path, len(f.Data))
	}
	at, parts := n, strings.Split(f.Path, "/")
	for i, part := range parts {
		name, err := encodeName(part)
		if err != nil {
			return fmt.Errorf("%q: %w", f.Path, err)
		}
		last := i == len(parts)-1
		next := at.child(name)
		if next != nil && (last || !next.dir) {
			return fmt.Errorf("%q: the name is taken by %q (case does not count on FAT)", f.Path, next.path)
		}
		if next == nil {
			next = &node{path: strings.Join(parts[:i+1], "/"), name: name, dir: !last, parent: at}
			at.children = append(at.children, next)
		}
		at = next
	}
	at.data = f.Data
	return nil
}

func (n *node) child(name shortName) *node {
	for _, c := range n.children {
		if c.name.raw == name.raw {
			return c
		}
	}
	return nil
}

func (n *node) sort() {
	slices.SortFunc(n.children, func(a, b *node) int { return bytes.Compare(a.name.raw[:], b.name.raw[:]) })
	for _, c := range n.children {
		c.sort()
	}
}

func (n *node) directories() []*node {
	if !n.dir {
		return nil
	}
	list := []*node{n}
	for _, c := range n.children {
		list = append(list, c.directories()...)
	}
	return list
}

func (n *node) files() []*node {
	if !n.dir {
		return []*node{n}
	}
	var list []*node
	for _, c := range n.children {
		list = append(list, c.files()...)
	}
	return list
}

// size returns the length of the contents in bytes. A directory ends with an empty
// entry; one below the root begins with two, and a root with a label with one.
func (n *node) size(label bool) int64 {
	switch {
	case !n.dir:
		return int64(len(n.data))
	case n.parent != nil:
		return int64(len(n.children)+2+1) * entrySize
	case label:
		return int64(len(n.children)+1+1) * entrySize
	}
	return int64(len(n.children)+1) * entrySize
}
