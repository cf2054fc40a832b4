// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	// maxName is the longest name of a file, in characters: Joliet's limit.
	maxName = 64
	// maxISOName is the longest name in the ISO 9660 tree itself (level 2), without
	// ";1".
	maxISOName = 30
	maxDepth   = 8 // ECMA-119, 6.8.2.1
)

// A node is a file or a directory.
type node struct {
	name     string // empty for the root
	dir      bool
	file     *File
	parent   *node // the root's is itself
	children []*node
	sector   uint32           // of a file
	at       map[*tree]uint32 // sectors of a directory
	size     map[*tree]uint32 // bytes of a directory
	number   map[*tree]uint16 // of a directory in the path table
}

func newNode(name string, dir bool, parent *node) *node {
	n := &node{name: name, dir: dir, parent: parent, at: map[*tree]uint32{}, size: map[*tree]uint32{}, number: map[*tree]uint16{}}
	if parent == nil {
		n.parent = n
	}
	return n
}

// newRoot makes the root directory with all files below it, and the files by path.
func newRoot(files []File) (*node, map[string]*node, error) {
	root, all := newNode("", true, nil), map[string]*node{}
	for i := range files {
		f := &files[i]
		if err := checkFile(f); err != nil {
			return nil, nil, err
		}
		n, err := root.add(f)
		if err != nil {
			return nil, nil, err
		}
		all[f.Path] = n
	}
	return root, all, root.checkNames()
}

func checkFile(f *File) error {
	switch {
	case f.Path == "" || path.Clean(f.Path) != f.Path || path.IsAbs(f.Path) || strings.HasPrefix(f.Path, "../") || f.Path == "." || f.Path == "..":
		return fmt.Errorf("%q: %w: want a relative path", f.Path, ErrName)
	case strings.Count(f.Path, "/")+2 > maxDepth:
		return fmt.Errorf("%q: %w: at most %d directories, one in the other", f.Path, ErrName, maxDepth)
	case f.Size < 0 || f.Size > MaxFile:
		return fmt.Errorf("%q: %d bytes: %w: the limit for a file is %d, 4 GiB", f.Path, f.Size, ErrTooLarge, int64(MaxFile))
	}
	for part := range strings.SplitSeq(f.Path, "/") {
		if len(part) > maxName || strings.IndexFunc(part, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`*/:;?\`, r) }) >= 0 {
			return fmt.Errorf("%q: %w: want at most %d printable characters of ASCII, without * / : ; ? \\", f.Path, ErrName, maxName)
		}
	}
	return nil
}

func (n *node) add(f *File) (*node, error) {
	at, parts := n, strings.Split(f.Path, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		next := at.child(part)
		if next != nil && (last || !next.dir) {
			return nil, fmt.Errorf("%q: %w: the name is taken", f.Path, ErrName)
		}
		if next == nil {
			next = newNode(part, !last, at)
			at.children = append(at.children, next)
		}
		at = next
	}
	at.file = f
	return at, nil
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// checkNames refuses names of one directory that are equal in the ISO 9660 tree.
func (n *node) checkNames() error {
	seen := map[string]string{}
	for _, c := range n.children {
		iso := string(isoName(c))
		if other, taken := seen[iso]; taken {
			return fmt.Errorf("%q and %q: %w: both are %s on a CD-ROM", c.name, other, ErrName, iso)
		}
		seen[iso] = c.name
		if err := c.checkNames(); err != nil {
			return err
		}
	}
	return nil
}

// directories returns the directories of the tree in the order of the path table
// (ECMA-119, 6.9.1): by depth, then by the number of the parent, then by name.
func (n *node) directories(name func(*node) []byte) []*node {
	all := []*node{n}
	for i := 0; i < len(all); i++ {
		for _, c := range all[i].sorted(name) {
			if c.dir {
				all = append(all, c)
			}
		}
	}
	return all
}

// sorted returns the children in the order of their records.
func (n *node) sorted(name func(*node) []byte) []*node {
	return slices.SortedFunc(slices.Values(n.children), func(a, b *node) int { return cmp.Compare(string(name(a)), string(name(b))) })
}

// isoName returns the name in the ISO 9660 tree: "GRUB.CFG;1", or "BOOT" for a directory.
// Directories have no dots.
func isoName(n *node) []byte {
	upper := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(n.name))
	if n.dir {
		return []byte(upper[:min(len(upper), maxISOName)])
	}
	base, ext := upper, ""
	if dot := strings.LastIndexByte(n.name, '.'); dot >= 0 {
		base, ext = upper[:dot], upper[dot+1:]
	}
	ext = ext[:min(len(ext), maxISOName/2)]
	base = base[:min(len(base), maxISOName-len(ext))]
	return []byte(base + "." + ext + ";1")
}

// jolietName returns the name in the Joliet tree: UCS-2, big end first.
func jolietName(n *node) []byte {
	name := n.name
	if !n.dir {
		name += ";1"
	}
	var b []byte
	for _, u := range utf16.Encode([]rune(name)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}
