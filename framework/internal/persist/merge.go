// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A verdict is the result of the rule for three versions.
type verdict int

const (
	same     verdict = iota // no change
	take                    // take the image's version
	local                   // ours stays: changed here only
	conflict                // ours stays: changed here and in the image
)

// decide applies the rule of the package.
func decide[T comparable](base, ours, theirs T) verdict {
	switch {
	case ours == theirs:
		return same
	case ours == base:
		return take
	case theirs == base:
		return local
	}
	return conflict
}

// Reasons in Kept.Why.
const (
	whyBoth     = "changed here, and in the image"
	whyRemoved  = "changed here, removed from the image"
	whyMade     = "made here, and in the image another"
	whyDeleted  = "deleted here, changed in the image"
	whyParent   = "new or changed in the image, and its directory was deleted or replaced here"
	whySpecial  = "a device, socket or pipe; changed in the image"
	whyNotEmpty = "no directory in the image any more, and holds what was made here"
	whyMode     = "mode or owner changed here, and in the image"
)

func reason(base, ours, theirs Entry) string {
	switch {
	case ours.Kind == "":
		return whyDeleted
	case theirs.Kind == "":
		return whyRemoved
	case base.Kind == "":
		return whyMade
	}
	return whyBoth
}

// A node is a file of base, of theirs, or of both.
type node struct {
	base, theirs Entry
	children     map[string]*node
}

// join puts both trees together.
func join(base, theirs Tree) *node {
	root := &node{}
	for rel, e := range base {
		root.at(rel).base = e
	}
	for rel, e := range theirs {
		root.at(rel).theirs = e
	}
	return root
}

func (n *node) at(rel string) *node {
	if rel == "." {
		return n
	}
	for name := range strings.SplitSeq(rel, "/") {
		if n.children[name] == nil {
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[name] = &node{}
		}
		n = n.children[name]
	}
	return n
}

func (n *node) names() []string { return slices.Sorted(maps.Keys(n.children)) }

// A merge is the plan for one path.
type merge struct {
	path   Path
	record Record // the next one
	ops    []op   // in this order
}

// plan compares the stored directory with both trees. It changes nothing.
func (m *merge) plan(base Tree) error {
	top, err := look(m.path.Store, ".")
	if err != nil {
		return err
	}
	if top.Kind != KindDir {
		return errors.New("its stored side " + m.path.Store + " is not a directory")
	}
	_, err = m.visit(".", join(base, m.record.Entries))
	return err
}

// visit plans for rel, and tells whether it exists and goes.
func (m *merge) visit(rel string, n *node) (goes bool, err error) {
	ours, err := look(m.path.Store, rel, n.base, n.theirs)
	switch {
	case err != nil:
		return false, err
	case ours.Kind != KindDir:
		return m.visitFile(rel, n, ours), nil
	case n.theirs.Kind != KindDir:
		return m.leaveDir(rel, n, ours)
	}
	m.mergeAttributes(rel, n.base, ours, n.theirs)
	_, err = m.visitChildren(rel, n)
	return false, err
}

// visitChildren returns how many children go.
func (m *merge) visitChildren(rel string, n *node) (going int, err error) {
	for _, name := range n.names() {
		goes, err := m.visit(path.Join(rel, name), n.children[name])
		if err != nil {
			return 0, err
		}
		if goes {
			going++
		}
	}
	return going, nil
}

// visitFile plans for a rel that is not a directory in the store: a file, or absent.
func (m *merge) visitFile(rel string, n *node, ours Entry) (goes bool) {
	switch v := decide(n.base, ours, n.theirs); {
	case v == same:
	case v == take && ours.Kind == KindSpecial:
		m.keep(rel, whySpecial)
	case v == take && n.theirs.Kind == "":
		m.do(op{do: remove, to: rel})
		return true
	case v == take:
		m.put(rel, n, ours)
	case v == local:
		m.record.Local = append(m.record.Local, m.name(rel))
		m.leaveOut(rel, n)
	default:
		m.keep(rel, reason(n.base, ours, n.theirs))
		m.leaveOut(rel, n)
	}
	return false
}

// put plans to take theirs with everything below it. The store has nothing there
// that this could hide.
func (m *merge) put(rel string, n *node, ours Entry) {
	dirs := ours.Kind == KindDir || ours.Kind != "" && n.theirs.Kind == KindDir
	m.do(op{do: put, from: rel, to: rel, exchange: dirs, fresh: ours.Kind == ""})
	for _, name := range n.names() {
		if child := n.children[name]; child.theirs.Kind != "" {
			m.put(path.Join(rel, name), child, Entry{})
		}
	}
}

// leaveOut reports new and changed files of the image whose directory is not in the
// store.
func (m *merge) leaveOut(rel string, n *node) {
	for _, name := range n.names() {
		child, childRel := n.children[name], path.Join(rel, name)
		if child.theirs.Kind != "" && child.theirs != child.base {
			m.keep(childRel, whyParent)
			continue
		}
		m.leaveOut(childRel, child)
	}
}

// leaveDir plans for a directory that is not a directory in the image.
func (m *merge) leaveDir(rel string, n *node, ours Entry) (goes bool, err error) {
	going, err := m.visitChildren(rel, n)
	if err != nil {
		return false, err
	}
	switch decide(n.base, ours, n.theirs) {
	case local:
		m.record.Local = append(m.record.Local, m.name(rel))
		return false, nil
	case conflict:
		m.keep(rel, reason(n.base, ours, n.theirs))
		return false, nil
	}
	others, err := hasOthers(filepath.Join(m.path.Store, rel), going)
	switch {
	case err != nil:
		return false, err
	case others:
		m.keep(rel, whyNotEmpty)
		return false, nil
	case n.theirs.Kind == "":
		m.do(op{do: remove, to: rel})
		return true, nil
	}
	m.put(rel, n, ours)
	return false, nil
}

// hasOthers tells whether dir has more than n entries.
func hasOthers(dir string, n int) (others bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	names, err := f.Readdirnames(n + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return len(names) > n, err
}

// mergeAttributes applies the rule to the mode and the owner of a directory
// separately: setting both takes two steps, and a power cut may come in between.
func (m *merge) mergeAttributes(rel string, base, ours, theirs Entry) {
	if base.Kind != KindDir { // made here: no attribute is as in the base
		base = Entry{Mode: ^uint32(0), UID: ^uint32(0), GID: ^uint32(0)}
	}
	type owner struct{ uid, gid uint32 }
	mode := decide(base.Mode, ours.Mode, theirs.Mode)
	owners := decide(owner{base.UID, base.GID}, owner{ours.UID, ours.GID}, owner{theirs.UID, theirs.GID})
	if owners == take {
		m.do(op{do: chown, to: rel, entry: theirs})
	}
	if mode == take {
		m.do(op{do: chmod, to: rel, entry: theirs})
	}
	switch {
	case mode == conflict || owners == conflict:
		m.keep(rel, whyMode)
	case mode == local || owners == local:
		m.record.Local = append(m.record.Local, m.name(rel))
	}
}

func (m *merge) do(o op) {
	if o.from != "" {
		o.from = filepath.Join(m.path.Image, o.from)
	}
	o.to = filepath.Join(m.path.Store, o.to)
	m.ops = append(m.ops, o)
}

func (m *merge) keep(rel, why string) {
	m.record.Kept = append(m.record.Kept, Kept{Path: m.name(rel), Why: why})
}

// name returns the path of rel in the running system.
func (m *merge) name(rel string) string { return path.Join(m.path.Name, rel) }

// stage writes the new versions to files of their own in dir. number tells the
// merges apart.
func (m *merge) stage(dir string, number int) error {
	if number == 0 { // the first merge removes the files of an interrupted boot
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			return err
		}
	}
	for i := range m.ops {
		if err := m.ops[i].stage(filepath.Join(dir, fmt.Sprintf("%d-%d", number, i))); err != nil {
			return err
		}
	}
	return nil
}
