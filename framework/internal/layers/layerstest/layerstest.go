// SPDX-License-Identifier: Apache-2.0

// Package layerstest makes random layers of an image, and unpacks them in the
// simplest way: into a map, layer by layer, marks first. Tests compare the readers
// of layers with it.
package layerstest

import (
	"archive/tar"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

const (
	markPrefix = ".wh."
	opaqueName = ".wh..wh..opq"
)

// Dir is the directory above all names in random layers.
const Dir = "d"

// An Entry is a member of a layer.
type Entry struct {
	Type byte // as tar.Header.Typeflag
	Name string
	Body string // the content of a file, or the target of a link
	Mode int64
}

// Header returns the entry's header for a tar.
func (e Entry) Header() *tar.Header {
	h := &tar.Header{Typeflag: e.Type, Name: e.Name, Mode: e.Mode, Format: tar.FormatPAX}
	switch e.Type {
	case tar.TypeReg:
		h.Size = int64(len(e.Body))
	case tar.TypeDir:
		h.Name += "/"
	case tar.TypeLink, tar.TypeSymlink:
		h.Linkname = e.Body
	}
	return h
}

// A File is a file, a directory or a symbolic link. Hard links share it.
type File struct {
	Type byte
	Body string
	Mode int64
}

// A Tree is an unpacked image: files by path.
type Tree map[string]*File

// Unpack applies layers, lowest first.
func Unpack(layers [][]Entry) Tree {
	t := Tree{}
	for _, layer := range layers {
		t.apply(layer)
	}
	return t
}

func (t Tree) apply(layer []Entry) {
	for _, e := range layer {
		if base := path.Base(e.Name); base == opaqueName {
			t.remove(path.Dir(e.Name), true)
		} else if hidden, ok := strings.CutPrefix(base, markPrefix); ok {
			t.remove(path.Join(path.Dir(e.Name), hidden), false)
		}
	}
	for _, e := range layer {
		if !strings.HasPrefix(path.Base(e.Name), markPrefix) {
			t.put(e)
		}
	}
}

func (t Tree) put(e Entry) {
	f := &File{e.Type, e.Body, e.Mode}
	switch e.Type {
	case tar.TypeLink:
		f = t[e.Body]
	case tar.TypeSymlink:
		f.Mode = 0o777
	}
	if old := t[e.Name]; old != nil && (old.Type != tar.TypeDir || f.Type != tar.TypeDir) {
		t.remove(e.Name, false)
	}
	for dir := path.Dir(e.Name); dir != "." && t[dir] == nil; dir = path.Dir(dir) {
		t[dir] = &File{Type: tar.TypeDir, Mode: 0o755}
	}
	t[e.Name] = f
}

func (t Tree) remove(name string, keepSelf bool) {
	for p := range t {
		if strings.HasPrefix(p, name+"/") || p == name && !keepSelf || name == "." {
			delete(t, p)
		}
	}
}

// Lines describes Dir and all below it, by path. The line of a file ends with its
// number of names.
func (t Tree) Lines() map[string]string {
	lines, links := map[string]string{}, map[*File]int{}
	for _, f := range t {
		links[f]++
	}
	for p, f := range t {
		if p == Dir || strings.HasPrefix(p, Dir+"/") {
			lines[p] = Line(f.Type, f.Mode, f.Body, links[f])
		}
	}
	return lines
}

// Line describes a file as Lines does.
func Line(kind byte, mode int64, body string, links int) string {
	line := fmt.Sprintf("%c %o %q", kind, mode, body)
	if kind != tar.TypeDir {
		line += fmt.Sprintf(" %d", links)
	}
	return line
}

// Random makes layers with few names, so that they collide often: files over
// directories and the reverse, hard links in a layer and across layers, and marks
// before and after the entries that they hide. No layer has two entries for one
// path, or an entry below anything but a directory.
func Random(seed uint64) [][]Entry {
	rnd := rand.New(rand.NewPCG(seed, 7))
	below, layers := Tree{}, [][]Entry{}
	for n := range 2 + int(seed%6) {
		l := &layer{rnd: rnd, number: n, below: below, kinds: map[string]byte{}}
		l.fill(5 + int(seed%40))
		below.apply(l.entries)
		layers = append(layers, l.entries)
	}
	return layers
}

// A layer is a layer in the making.
type layer struct {
	rnd     *rand.Rand
	number  int
	below   Tree
	entries []Entry
	kinds   map[string]byte // types of the layer's own entries, by path
	files   []string
}

func (l *layer) fill(entries int) {
	for i := range entries {
		name := Dir
		for range 1 + l.rnd.IntN(3) {
			name = path.Join(name, string(rune('a'+l.rnd.IntN(4))))
		}
		l.one(name, i)
	}
	if target := l.lowerTarget(); target != "" && l.kinds[Dir+"/low"] == 0 && l.parents(Dir+"/low") {
		l.add(Entry{tar.TypeLink, Dir + "/low", target, 0o644})
	}
}

func (l *layer) one(name string, i int) {
	kind := l.rnd.IntN(12)
	if kind < 3 { // marks need no directories
		mark := opaqueName
		if kind > 0 {
			mark = markPrefix + path.Base(name)
		}
		l.entries = append(l.entries, Entry{tar.TypeReg, path.Join(path.Dir(name), mark), "", 0o644})
		return
	}
	if l.kinds[name] != 0 || !l.parents(name) {
		return
	}
	switch {
	case kind < 5:
		l.add(Entry{tar.TypeDir, name, "", int64(0o700 + l.number)})
	case kind < 7 && len(l.files) > 0:
		l.add(Entry{tar.TypeLink, name, l.files[l.rnd.IntN(len(l.files))], 0o644})
		l.files = append(l.files, name)
	case kind == 7:
		l.add(Entry{tar.TypeSymlink, name, fmt.Sprintf("to-%d-%d", l.number, i), 0o777})
		l.files = append(l.files, name)
	default:
		l.add(Entry{tar.TypeReg, name, fmt.Sprintf("layer %d entry %d %s", l.number, i, strings.Repeat("x", l.rnd.IntN(60))), 0o644})
		l.files = append(l.files, name)
	}
}

func (l *layer) add(e Entry) {
	l.entries = append(l.entries, e)
	l.kinds[e.Name] = e.Type
}

// parents adds the missing parents of name. It leaves out some at random, if no
// layer below has another type of file there. It returns false when a parent is not
// a directory in this layer.
func (l *layer) parents(name string) bool {
	for at, rest := "", strings.Split(path.Dir(name), "/"); len(rest) > 0; rest = rest[1:] {
		at = path.Join(at, rest[0])
		if l.kinds[at] == 0 {
			if f := l.below[at]; at != Dir && (f == nil || f.Type == tar.TypeDir) && l.rnd.IntN(3) == 0 {
				l.kinds[at] = tar.TypeDir // without an entry
			} else {
				l.add(Entry{tar.TypeDir, at, "", 0o755})
			}
		}
		if l.kinds[at] != tar.TypeDir {
			return false
		}
	}
	return true
}

// lowerTarget returns a file of the layers below that this layer does not change,
// for a hard link across layers.
func (l *layer) lowerTarget() string {
	after := maps.Clone(l.below)
	after.apply(l.entries)
	var targets []string
	for p, f := range l.below {
		if f.Type != tar.TypeDir && after[p] == f && p != Dir+"/low" {
			targets = append(targets, p)
		}
	}
	slices.Sort(targets)
	if len(targets) == 0 {
		return ""
	}
	return targets[l.rnd.IntN(len(targets))]
}
