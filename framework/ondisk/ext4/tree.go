// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A node is a file or directory of the tree to write.
type node struct {
	name     string
	ino      uint32
	mode     uint32 // with the type bits
	uid, gid uint32
	data     []byte
	children map[string]*node // nil for files
	given    bool             // false for a parent that only a longer path implied
	minimum  int64            // a directory has at least this many blocks
	extents  []extent
}

// Type bits of an inode's mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modePerm = 0o7777
)

const lostFound = "lost+found"

func newDir(name string, perm uint32) *node {
	return &node{name: name, mode: modeDir | perm, children: map[string]*node{}}
}

func (n *node) isDir() bool { return n.children != nil }

// sorted lists the children by name.
func (n *node) sorted() []*node {
	list := make([]*node, 0, len(n.children))
	for _, child := range n.children {
		list = append(list, child)
	}
	slices.SortFunc(list, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return list
}

func (n *node) subdirs() int {
	count := 0
	for _, child := range n.children {
		if child.isDir() {
			count++
		}
	}
	return count
}

// buildTree makes the tree with lost+found in it, and reports every bad entry.
func buildTree(entries []Entry) (*node, error) {
	root := newDir(".", 0o755)
	found := newDir(lostFound, 0o700)
	found.given, found.minimum = true, 4 // e2fsck needs room without an allocation
	root.children[lostFound] = found
	var errs []error
	for _, e := range entries {
		errs = append(errs, root.add(e))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return root, nil
}

func (n *node) add(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	if e.Path == "." {
		return n.become(e)
	}
	parts := strings.Split(e.Path, "/")
	dir := n
	for _, name := range parts[:len(parts)-1] {
		dir = dir.child(name)
		if !dir.isDir() {
			return fmt.Errorf("%w %q: %q is a file", ErrPath, e.Path, name)
		}
	}
	name := parts[len(parts)-1]
	if _, exists := dir.children[name]; !exists && !e.Dir {
		dir.children[name] = &node{name: name, mode: modeFile}
	}
	return dir.child(name).become(e)
}

// child returns the child of that name, a new directory if there was none.
func (n *node) child(name string) *node {
	if _, exists := n.children[name]; !exists {
		n.children[name] = newDir(name, 0o755)
	}
	return n.children[name]
}

// become gives n the properties and data of e.
func (n *node) become(e Entry) error {
	if n.given {
		return fmt.Errorf("%w %q", ErrDuplicate, e.Path)
	}
	if n.isDir() != e.Dir {
		return fmt.Errorf("%w %q: is a file and a directory", ErrDuplicate, e.Path)
	}
	n.given = true
	n.mode = n.mode&^modePerm | e.Mode
	n.uid, n.gid, n.data = e.UID, e.GID, e.Data
	return nil
}

func (e Entry) check() error {
	switch {
	case !fs.ValidPath(e.Path) || strings.ContainsRune(e.Path, 0):
		return fmt.Errorf("%w %q: want a clean, relative, slash-separated path", ErrPath, e.Path)
	case e.Mode&^modePerm != 0:
		return fmt.Errorf("%w %q: mode %#o has more than permission bits", ErrPath, e.Path, e.Mode)
	case e.Dir && len(e.Data) > 0:
		return fmt.Errorf("%w %q: a directory with %d bytes of data", ErrPath, e.Path, len(e.Data))
	case e.Path == "." && !e.Dir:
		return fmt.Errorf("%w %q: the root is a directory", ErrPath, e.Path)
	}
	for part := range strings.SplitSeq(e.Path, "/") {
		if len(part) > 255 {
			return fmt.Errorf("%w %q: a name of %d bytes, at most 255 fit", ErrPath, e.Path, len(part))
		}
	}
	return nil
}
