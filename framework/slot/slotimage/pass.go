// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// A pass merges one layer.
//
// Hard links need care: a higher layer may hide their target, and the target may come
// later in the tar, be a link itself, or be in a lower layer. For each file of its layer
// the pass knows where the content is stored.
type pass struct {
	*merger
	index int
	layer Layer
	marks []layers.Mark
	// stored has the files of this layer whose content is not at their own path in the
	// root. The value is the path that has the content, or "" if none has.
	stored map[string]string
	alias  map[string]string // hard links of this layer: target by name
	// later has links to targets that were not seen yet. again has links that need a
	// second reading of the layer. Both map a target to names.
	later, again map[string][]string
}

func newPass(m *merger, index int, l Layer) *pass {
	return &pass{
		merger: m, index: index, layer: l, stored: map[string]string{}, alias: map[string]string{},
		later: map[string][]string{}, again: map[string][]string{},
	}
}

func (p *pass) run(ctx context.Context) error {
	if err := eachEntry(ctx, p.layer, p.entry); err != nil {
		return err
	}
	if err := p.settle(); err != nil {
		return err
	}
	if err := p.readAgain(ctx); err != nil {
		return err
	}
	if err := p.passDown(); err != nil {
		return err
	}
	for _, m := range p.marks {
		if err := p.names.Hide(m, p.index); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) entry(h *tar.Header, path string, r io.Reader) error {
	if err := p.budget.Take(h); err != nil {
		return err
	}
	if m, ok, err := layers.ParseMark(path); ok || err != nil {
		p.marks = append(p.marks, m)
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return p.hardLink(path, h.Linkname)
	}
	e, err := newEntry(h, path)
	if err == nil {
		err = checkPower(e, p.layer.Foreign)
	}
	switch {
	case err != nil:
		return err
	case e.Mode&erofs.ModeType == erofs.ModeDir:
		return p.dir(e)
	default:
		return p.file(e, r)
	}
}

func (p *pass) dir(e erofs.Entry) error {
	if links := p.wanted[e.Path]; len(links) > 0 {
		return fmt.Errorf("%w: a higher layer has a hard link %q to this directory", ErrBadEntry, links[0])
	}
	visible, err := p.names.Claim(e.Path, p.index, true)
	if !visible || err != nil || leftOut(e.Path) {
		return err
	}
	return p.add(e, nil)
}

// file stores anything but a directory or a hard link.
func (p *pass) file(e erofs.Entry, r io.Reader) error {
	names, err := p.takers(e.Path)
	if err != nil {
		return err
	}
	delete(p.alias, e.Path)
	p.stored[e.Path] = ""
	if len(names) == 0 {
		return nil
	}
	own := e.Path
	stored, err := p.deliver(e, r, names)
	if stored == own {
		delete(p.stored, own)
	} else {
		p.stored[own] = stored
	}
	return err
}

// takers returns the names under which the content at path must be stored: its own, if
// visible, and links of higher layers.
func (p *pass) takers(path string) ([]string, error) {
	if path == "." {
		return nil, fmt.Errorf("%w: the root is no directory", ErrBadEntry)
	}
	visible, err := p.names.Claim(path, p.index, false)
	if err != nil {
		return nil, err
	}
	names := p.wanted[path]
	delete(p.wanted, path)
	if visible {
		names = append([]string{path}, names...)
	}
	return names, nil
}

func (p *pass) hardLink(path, linkname string) error {
	target, err := layers.Clean(linkname)
	if err != nil {
		return fmt.Errorf("hard link to %.200q: %w", linkname, err)
	}
	names, err := p.takers(path)
	if err != nil {
		return err
	}
	if target = p.resolve(target); target == path {
		return fmt.Errorf("%w: a hard link to itself", ErrBadEntry)
	}
	delete(p.stored, path)
	p.alias[path] = target
	return p.place(target, names)
}

// resolve follows hard links of this layer. hardLink keeps them free of loops.
func (p *pass) resolve(target string) string {
	for next, ok := p.alias[target]; ok; next, ok = p.alias[target] {
		target = next
	}
	return target
}

// place gives names the content of target, now or later.
func (p *pass) place(target string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	stored, known := p.where(target)
	if !known {
		p.later[target] = append(p.later[target], names...)
		return nil
	}
	for _, name := range names {
		if stored == "" || leftOut(name) || keeps(name) {
			p.again[target] = append(p.again[target], name)
		} else if err := p.link(name, stored); err != nil {
			return err
		}
	}
	return nil
}

// where returns the path in the root that has the content of a file of this layer, or ""
// if none has. known is false if this layer has not had the file so far.
func (p *pass) where(target string) (stored string, known bool) {
	if stored, ok := p.stored[target]; ok {
		return stored, true
	}
	return target, p.names.IsFile(target, p.index)
}

// settle places links that come before their target in the tar.
func (p *pass) settle() error {
	waiting := p.later
	p.later = map[string][]string{}
	for _, target := range slices.Sorted(maps.Keys(waiting)) {
		if err := p.place(p.resolve(target), waiting[target]); err != nil {
			return fmt.Errorf("%q: hard link to %q: %w", waiting[target][0], target, err)
		}
	}
	return nil
}

// readAgain reads the layer a second time, for content that no known name needed in the
// first reading.
func (p *pass) readAgain(ctx context.Context) error {
	if len(p.again) == 0 {
		return nil
	}
	missing := maps.Clone(p.again)
	err := eachEntry(ctx, p.layer, func(h *tar.Header, path string, r io.Reader) error {
		names := p.again[path]
		if kind, err := fileType(h.Typeflag); len(names) == 0 || err != nil || kind == erofs.ModeDir {
			return nil
		}
		e, err := newEntry(h, path)
		if err != nil {
			return err
		}
		delete(missing, path)
		_, err = p.deliver(e, r, names)
		return err
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%q: it was there when the layer was read first and is gone the second time", slices.Sorted(maps.Keys(missing))[0])
	}
	return err
}

// passDown passes links without a target on to the next lower layer.
func (p *pass) passDown() error {
	for target, names := range p.later {
		p.wanted[target] = append(p.wanted[target], names...)
	}
	for _, target := range slices.Sorted(maps.Keys(p.wanted)) {
		if p.index == 0 || p.removes(target) {
			return fmt.Errorf("%w: the target %q of the hard link %q does not exist", ErrBadEntry, target, p.wanted[target][0])
		}
	}
	return nil
}

// removes tells whether the layer hides what lower layers have at target.
func (p *pass) removes(target string) bool {
	if slices.ContainsFunc(p.marks, func(m layers.Mark) bool { return m.Hides(target) }) {
		return true
	}
	for dir := path.Dir(target); dir != "."; dir = path.Dir(dir) {
		if _, known := p.where(p.resolve(dir)); known {
			return true
		}
	}
	return false
}
