// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
	"github.com/kairos-build/kairos-build/recipes"
)

// A search is for the packages of a choice in repositories.
type search struct {
	repositories []*repository
	choice       recipes.Choice
	lists        []recipes.PackageList
}

// A list is the packages of one input.
type list struct {
	input    string
	packages []packages.Package
}

// A Request is what a solver is asked. It is the file request.json of solve.py.
type Request struct {
	Family       string   `json:"family"`
	Arch         string   `json:"arch"` // as rpm names it
	GOARCH       string   `json:"-"`    // the same, of the toolbox
	Repositories []string `json:"repositories"`
	Jobs         []Job    `json:"jobs"`
}

// A Job is one choice of packages.
type Job struct {
	ID    string   `json:"id"`
	Over  string   `json:"over"` // an earlier job whose packages are there already; empty: none
	Names []string `json:"names"`
}

// An Answer has the packages of each job. It is what solve.py prints.
type Answer struct {
	Jobs []Solved `json:"jobs"`
}

// A Solved is the packages of a job, without those that are there already.
type Solved struct {
	ID       string   `json:"id"`
	Packages []Chosen `json:"packages"`
	Problems []string `json:"problems"` // if there are any, there are no packages
}

// A Chosen is a package of a repository.
type Chosen struct {
	Repository string `json:"repository"`
	ID         string `json:"id"` // NAME-[EPOCH:]VERSION-RELEASE.ARCH
}

// An UnknownError is about a name that no repository has.
type UnknownError struct{ text string }

func (e *UnknownError) Error() string { return e.text }

// known checks that every name is in the repositories. The error names each that is not,
// with its set, its place and the nearest name.
func (s *search) known() error {
	var errs []error
	all := append([]recipes.PackageList{s.base()}, s.lists...)
	for _, l := range all {
		for _, name := range l.Names {
			if s.offers(l, name) {
				continue
			}
			text := fmt.Sprintf("%s: package %q is not in the repositories (%s)", l.Input, name, strings.Join(s.choice.Flavor.Base.Archive.Parts(), ", "))
			if near := nearest.Word(name, s.names()); near != "" {
				text += fmt.Sprintf(": did you mean %q?", near)
			}
			if at := l.Place(name); at != "" {
				text = at + ": " + text
			}
			errs = append(errs, &UnknownError{text})
		}
	}
	return errors.Join(errs...)
}

// offers tells whether a repository has what a list names: a package, or for a list that is
// installed also something that a package provides.
func (s *search) offers(l recipes.PackageList, name string) bool {
	return slices.ContainsFunc(s.repositories, func(r *repository) bool {
		return len(r.names[name]) > 0 || l.Installed && r.has[name]
	})
}

func (s *search) names() (all []string) {
	for _, r := range s.repositories {
		for name := range r.names {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// base is the list of the root's first packages.
func (s *search) base() recipes.PackageList {
	return recipes.PackageList{
		Input: recipes.InputBase, Names: s.choice.Flavor.Base.Archive.BasePackages, Installed: true,
		Place: func(name string) string { return s.choice.Flavor.Place("base.archive.base_packages", name) },
	}
}

// request asks for the packages that are installed. All but the base are over another job.
func (s *search) request(family string) Request {
	r := Request{Family: family, Arch: flavors.RPMArch(s.choice.Arch), GOARCH: s.choice.Arch, Repositories: s.choice.Flavor.Base.Archive.Parts()}
	r.Jobs = append(r.Jobs, Job{ID: recipes.InputBase, Names: s.base().Names})
	for _, l := range s.lists {
		if l.Installed {
			over := recipes.InputBase
			if l.Over != "" {
				over = l.Over
			}
			r.Jobs = append(r.Jobs, Job{ID: l.Input, Over: over, Names: l.Names})
		}
	}
	return r
}

// files are the lists of packages, as a solver reads them.
func (s *search) files() (all []inputs.File) {
	for _, r := range s.repositories {
		all = append(all, r.files()...)
	}
	return all
}

// found are the packages of each input.
func (s *search) found(a *Answer) ([]list, error) {
	var all []list
	for _, l := range append([]recipes.PackageList{s.base()}, s.lists...) {
		one := list{input: l.Input}
		entries, err := s.chosen(a, l)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			one.packages = append(one.packages, packages.Package{
				Name: e.Name, Version: e.evr(), Arch: e.Arch, Archive: e.repository.spec.ID,
				Path: e.Location.Href, Size: e.Size.Package, SHA256: e.Checksum.Value,
			})
		}
		all = append(all, one)
	}
	return all, nil
}

// chosen are the packages of a list: those that the solver chose, or of a list whose packages
// are not installed the newest of each name.
func (s *search) chosen(a *Answer, l recipes.PackageList) ([]*entry, error) {
	if !l.Installed {
		var all []*entry
		for _, name := range l.Names {
			all = append(all, s.newest(name))
		}
		return all, nil
	}
	at := slices.IndexFunc(a.Jobs, func(j Solved) bool { return j.ID == l.Input })
	if at < 0 {
		return nil, fmt.Errorf("BUG: the solver said nothing of %s", l.Input)
	}
	job := a.Jobs[at]
	if len(job.Problems) > 0 {
		return nil, s.conflict(l, job.Problems)
	}
	all := make([]*entry, len(job.Packages))
	for i, c := range job.Packages {
		if all[i] = s.entry(c); all[i] == nil {
			return nil, fmt.Errorf("BUG: the solver chose %s of %s, which is not in its list", c.ID, c.Repository)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int { return strings.Compare(a.id(), b.id()) })
	return all, nil
}

// conflict is the error about packages that exclude each other, or that lack something.
func (s *search) conflict(l recipes.PackageList, problems []string) error {
	text := fmt.Sprintf("%s: the packages cannot be installed together: %s", l.Input, strings.Join(problems, "; "))
	for _, name := range l.Names {
		if at := l.Place(name); at != "" && strings.Contains(text, name) {
			text += fmt.Sprintf(" (%s is at %s)", name, at)
		}
	}
	return errors.New(text)
}

func (s *search) entry(c Chosen) *entry {
	for _, r := range s.repositories {
		if r.spec.ID == c.Repository {
			return r.byID[c.ID]
		}
	}
	return nil
}

// newest is the newest package of a name.
func (s *search) newest(name string) (best *entry) {
	for _, r := range s.repositories {
		for _, e := range r.names[name] {
			if best == nil || e.newer(best) {
				best = e
			}
		}
	}
	return best
}

// fileName is the name of a package in an input. The paths of two repositories may be equal.
func fileName(p packages.Package) string { return p.Archive + "-" + path.Base(p.Path) }
