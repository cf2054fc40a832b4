// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// commonPlan is a plan that every plan for a distribution of rpm packages adds to.
const commonPlan = "rpm"

// An rpmPlan says how packages of Debian become the repositories of a distribution with rpm
// packages. Names of packages are Debian's, except in Repositories, New and Kernel.
type rpmPlan struct {
	From string `yaml:"from"` // the flavor whose packages are taken
	// Repositories has the packages of each repository but the first of the flavor, which
	// has all others.
	Repositories map[string][]string `yaml:"repositories"`
	Rename       map[string]string   `yaml:"rename"` // packages, from the old name to the new
	Merge        map[string]string   `yaml:"merge"`  // packages, to the one that gets their files
	// Drop are packages that do not become part of the new distribution: relations to them
	// end.
	Drop      []string              `yaml:"drop"`
	Essential string                `yaml:"essential"` // the new package that requires Debian's essential ones
	New       map[string]newPackage `yaml:"new"`       // packages that Debian does not have
	Requires  map[string][]string   `yaml:"requires"`  // besides those of Debian, by package
	Provides  map[string][]string   `yaml:"provides"`
	// Move are files and, ending with a slash, folders: from the old path to the new. To
	// nothing: the file is left out.
	Move map[string]string `yaml:"move"`
	// Dirs are empty folders, by package.
	Dirs map[string][]string `yaml:"dirs"`
	// What a maintainer script of Debian makes, by package and path: copies of the
	// package's files, links, texts.
	Copies map[string]map[string]string `yaml:"copies"`
	Links  map[string]map[string]string `yaml:"links"`
	Files  map[string]map[string]string `yaml:"files"`
	// Scriptlets are post and posttrans of rpm(8), by package.
	Scriptlets map[string]map[string]string `yaml:"scriptlets"`
	Patches    []rpmPatch                   `yaml:"patches"`
	Kernel     rpmKernel                    `yaml:"kernel"`
}

// A newPackage is made of nothing but what is written here.
type newPackage struct {
	Version  string            `yaml:"version"`
	Requires []string          `yaml:"requires"`
	Files    map[string]string `yaml:"files"`
	Links    map[string]string `yaml:"links"`
}

// An rpmPatch replaces a text in a file. In a program the new text is filled up with NULs;
// the old one ends with a NUL there. Wide texts are UTF-16, as in programs for UEFI.
type rpmPatch struct {
	File string `yaml:"file"` // its old path
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
	Text bool   `yaml:"text"`
	Wide bool   `yaml:"wide"`
}

// An rpmKernel splits a kernel package. Everything is below usr/lib/modules/VERSION.
type rpmKernel struct {
	From   string            `yaml:"from"`   // the meta package of Debian
	Suffix string            `yaml:"suffix"` // of modules: .xz or .zst
	Drop   []string          `yaml:"drop"`   // files that this kernel does not have, by the beginning of their path
	Config map[string]string `yaml:"config"` // options that differ; n: not set
	// Packages get the files that begin with one of Has, the first that fits.
	Packages []rpmKernelPart `yaml:"packages"`
}

// An rpmKernelPart is a package of a kernel.
type rpmKernelPart struct {
	Name     string   `yaml:"name"`
	Has      []string `yaml:"has"`
	Requires []string `yaml:"requires"`
}

// readRPMPlan reads the plan for a flavor. It is nil for a flavor whose plan is of another
// kind.
func readRPMPlan(name string) (*rpmPlan, error) {
	own, err := plans.ReadFile(path.Join(commonPlan, name+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	common, err := plans.ReadFile(path.Join(commonPlan, "common.yaml"))
	if err != nil {
		return nil, err
	}
	return parseRPMPlan(name, common, own)
}

// parseRPMPlan reads texts, each on top of the one before.
func parseRPMPlan(name string, texts ...[]byte) (*rpmPlan, error) {
	p := &rpmPlan{}
	for _, text := range texts {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(p); err != nil {
			return nil, fmt.Errorf("the plan for %s: %w", name, err)
		}
	}
	if p.From == "" || p.Kernel.From == "" || len(p.Kernel.Packages) == 0 || p.Essential == "" {
		return nil, fmt.Errorf("the plan for %s lacks from, essential, kernel.from or kernel.packages", name)
	}
	for _, patch := range p.Patches {
		if !patch.Text && len(patch.New) > len(patch.Old) {
			return nil, fmt.Errorf("the plan for %s: %q of patches is longer than %q", name, patch.New, patch.Old)
		}
	}
	return p, nil
}

func (p *rpmPlan) source() (flavor, kernel string) { return p.From, p.Kernel.From }

// originals are the packages of Debian that the names of a flavor stand for.
func (p *rpmPlan) originals(lists ...[]string) []string {
	var all []string
	for _, name := range slices.Concat(lists...) {
		if _, made := p.New[name]; !made {
			all = append(all, p.original(name))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *rpmPlan) original(name string) string {
	for from, to := range p.Rename {
		if to == name {
			return from
		}
	}
	return name
}

// renamed is the new name of a package; a merged one has that of the package it is part of.
func (p *rpmPlan) renamed(name string) string {
	if to, ok := p.Merge[name]; ok {
		name = to
	}
	if to, ok := p.Rename[name]; ok {
		return to
	}
	return name
}

// moved is the new path of a file; empty: it is left out.
func (p *rpmPlan) moved(at string) string {
	if to, ok := p.Move[at]; ok {
		return to
	}
	for dir := path.Dir(at); dir != "/"; dir = path.Dir(dir) {
		if to, ok := p.Move[dir+"/"]; ok {
			if to == "" {
				return ""
			}
			return path.Join(to, strings.TrimPrefix(at, dir))
		}
	}
	return at
}

// patched is the content of a file, by its old path.
func (p *rpmPlan) patched(at string, data []byte) ([]byte, error) {
	for _, patch := range p.Patches {
		if patch.File != at {
			continue
		}
		from, to := patch.bytes()
		if !bytes.Contains(data, from) {
			return nil, fmt.Errorf("%s does not have the text %q", at, patch.Old)
		}
		data = bytes.ReplaceAll(data, from, to)
	}
	return data, nil
}

func (p rpmPatch) bytes() (from, to []byte) {
	from, to = []byte(p.Old), []byte(p.New)
	if p.Text {
		return from, to
	}
	from = append(from, 0)
	to = append(to, make([]byte, len(from)-len(to))...)
	if p.Wide {
		return widened(from), widened(to)
	}
	return from, to
}

func widened(text []byte) (wide []byte) {
	for _, b := range text {
		wide = append(wide, b, 0)
	}
	return wide
}
