// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/bootstrap"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// A set is everything that an image takes from the archive.
type set struct {
	archive *archive.Archive // nil for a set from a lock
	pool    *archive.Pool    // fetches the packages
	arch    string
	epoch   time.Time
	spec    flavors.Archive    // what the flavor says of its archive
	base    []*archive.Package // essential, required, and apt
	lists   []list
}

// A list is the packages of one input.
type list struct {
	input    string
	packages []*archive.Package
}

// add finds the packages of a list of names.
func (s *set) add(names recipes.PackageList) error {
	l := list{input: names.Input}
	var err error
	if names.Installed {
		l.packages, err = s.resolve(names.Names)
	} else {
		l.packages, err = s.unpacked(names)
	}
	if err != nil {
		return err
	}
	s.lists = append(s.lists, l)
	return nil
}

// resolve finds packages and those that they depend on, without those of the base.
func (s *set) resolve(names []string) ([]*archive.Package, error) {
	found, err := s.archive.Resolve(archive.Request{Base: s.spec.Base(), Extra: names})
	if err != nil {
		return nil, err
	}
	if s.base == nil { // it is the same for every list
		s.base = found.Base
	}
	return found.Extra, nil
}

// unpacked finds packages for their files only.
func (s *set) unpacked(names recipes.PackageList) ([]*archive.Package, error) {
	var all []*archive.Package
	for _, name := range names.Names {
		if names.Input == recipes.InputKernel {
			found, err := kernelPackages(s.archive, name, s.spec.Kernel())
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
			continue
		}
		p, err := lookup(s.archive, name)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// inputs are the inputs for an empty root.
func (s *set) inputs() []inputs.Source {
	all := []inputs.Source{{Name: recipes.InputBase, Key: archive.Lock(s.base), Write: s.writeBase}}
	for _, l := range s.lists {
		all = append(all, s.debs(l))
	}
	return all
}

// over are the inputs for a root with dpkg's status file. Base packages that it lacks
// are added to the flavor's packages.
func (s *set) over(status []byte) ([]inputs.Source, error) {
	installed, err := installedPackages(status, s.arch)
	if err != nil {
		return nil, err
	}
	var all []inputs.Source
	for _, l := range s.lists {
		switch l.input {
		case recipes.InputPackages:
			l.packages = missing(slices.Concat(s.base, l.packages), installed)
		case recipes.InputSitePackages:
			l.packages = missing(l.packages, installed)
		}
		all = append(all, s.debs(l))
	}
	return all, nil
}

// writeBase unpacks the base packages into a layer.
func (s *set) writeBase(ctx context.Context, w io.Writer, report inputs.Report) error {
	paths, err := s.fetch(ctx, s.base, report)
	if err != nil {
		return err
	}
	list := make([]bootstrap.Package, len(s.base))
	for i, p := range s.base {
		list[i] = bootstrap.Package{Path: paths[i], Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256}
	}
	return bootstrap.Write(ctx, w, list, bootstrap.Options{Epoch: s.epoch, UsrMerge: true})
}

// debs is an input with the .debs of a list, and their batches.
func (s *set) debs(l list) inputs.Source {
	write := func(ctx context.Context, w io.Writer, report inputs.Report) error {
		paths, err := s.fetch(ctx, l.packages, report)
		if err != nil {
			return err
		}
		related, err := withRelations(l.packages, paths)
		if err != nil {
			return err
		}
		files := []inputs.File{{Path: "batches", Mode: 0o644, Data: batchList(related)}}
		for i, p := range l.packages {
			files = append(files, inputs.File{Path: debName(p), Mode: 0o644, From: paths[i]})
		}
		return inputs.Tree(w, files, s.epoch)
	}
	return inputs.Source{Name: l.input, Key: archive.Lock(l.packages), Write: write}
}

func (s *set) fetch(ctx context.Context, packages []*archive.Package, report inputs.Report) ([]string, error) {
	return s.pool.Fetch(ctx, packages, func(p archive.Progress) { report(p.Done, p.Total) })
}
