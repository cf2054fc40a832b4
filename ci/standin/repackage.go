// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/flavors"
)

// A pkg is a package of the new archive.
type pkg struct {
	name   string
	source string // package of the plan's lists that it counts as: its name, or kernel
	text   string // control file
	deb    []byte
}

// repackage makes the packages of the new archive, sorted by name.
func (p *plan) repackage(ctx context.Context, c *choice, paths []string) ([]pkg, error) {
	made := make([][]pkg, len(c.packages))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // the files of a package are in memory
	for i, l := range c.packages {
		if _, part := p.Merge[l.Name]; part {
			continue
		}
		g.Go(func() (err error) {
			if slices.Contains(c.kernels, l.Name) {
				made[i], err = p.splitKernel(ctx, paths[i], c.epoch)
			} else {
				made[i], err = p.repack(ctx, append([]string{paths[i]}, c.parts(p, l.Name, paths)...), c.epoch)
			}
			if err != nil {
				return fmt.Errorf("repackaging %s: %w", l.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(made...)
	slices.SortFunc(all, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// kernelInput is the input of the recipe that the kernel is in.
const kernelInput = "kernel"

// parts are the packages that become a part of name.
func (c *choice) parts(p *plan, name string, paths []string) (all []string) {
	for i, l := range c.packages {
		if p.Merge[l.Name] == name {
			all = append(all, paths[i])
		}
	}
	return all
}

// repack makes one package of the files of several; the first has the control archive.
func (p *plan) repack(ctx context.Context, debs []string, at time.Time) ([]pkg, error) {
	c, err := readControl(ctx, debs[0])
	if err != nil {
		return nil, err
	}
	old := field(c.text, "Package")
	texts := p.texts(old)
	data, err := newTarball()
	if err != nil {
		return nil, err
	}
	for _, deb := range debs {
		err := each(ctx, deb, "--fsys-tarfile", func(f file) error { return p.file(data, f, texts) })
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) { // those that replaced no file
		if err := data.add(file{&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: at}, []byte(texts[name])}); err != nil {
			return nil, err
		}
	}
	c.text = p.control(c.text)
	deb, err := writeDeb(c, data, at)
	return []pkg{{p.renamed(old), p.renamed(old), c.text, deb}}, err
}

// texts are the files that the plan has for a package, by their names in a tar.
func (p *plan) texts(name string) map[string]string {
	texts := map[string]string{}
	for at, text := range p.Files[name] {
		if at == "/usr/lib/os-release" {
			text += "VARIANT_ID=" + flavors.StandIn + "\n"
		}
		texts["."+at] = text
	}
	return texts
}

// file adds a file of an old package: under its new name, patched, or with another text,
// which it takes from texts.
func (p *plan) file(data *tarball, f file, texts map[string]string) (err error) {
	at := "/" + path.Clean(f.header.Name)
	if to, ok := p.Move[at]; ok {
		f.header.Name = "." + to
	}
	if f.data, err = p.patched(at, f.data); err != nil {
		return err
	}
	if text, ok := texts["."+at]; ok {
		f.data = []byte(text)
		delete(texts, "."+at)
	}
	return data.add(f)
}

// control is the control file with the new names.
func (p *plan) control(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok || strings.HasPrefix(line, " "):
		case name == "Package":
			line = name + ": " + p.renamed(strings.TrimSpace(value)) + "\n"
		case slices.Contains([]string{"Depends", "Pre-Depends", "Recommends", "Breaks", "Conflicts", "Replaces"}, name):
			line = name + ":" + p.relations(value)
		}
		out.WriteString(line)
	}
	return out.String()
}

// field is the first line of a field of a control file, or empty.
func field(text, name string) string {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `: *(.*)$`).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(m[1])
}
