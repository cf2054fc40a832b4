// SPDX-License-Identifier: Apache-2.0

// Package toolbox has the root that dnf, zypper and rpm run in, and lets them choose packages
// there. The root is a Debian, made from its signed archive like any other; what runs in it
// is one step of a graph, without a network. So the host needs none of these programs.
package toolbox

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// base is the flavor whose archive the toolbox is from. Its release is part of the recipe
// (see recipes.Solver).
const base = "debian-13"

// names are the packages of the toolbox.
func names() []string { return []string{"dnf", "rpm", "zypper"} }

// An Archive is the family that the toolbox is made by.
type Archive interface {
	Resolve(ctx context.Context, c recipes.Choice) (*packages.Set, error)
	Locked(c recipes.Choice, f packages.Facts, file string) (*packages.Set, error)
}

// A Toolbox is made from a Debian archive.
type Toolbox struct{ Archive Archive }

// inputNames are the inputs of the toolbox by those of a flavor.
func inputNames() map[string]string {
	return map[string]string{recipes.InputBase: recipes.InputToolboxBase, recipes.InputPackages: recipes.InputToolbox}
}

// Resolve finds the packages in the signed archive.
func (t Toolbox) Resolve(ctx context.Context, arch string) (*packages.Set, error) {
	c, err := choice(arch)
	if err != nil {
		return nil, err
	}
	s, err := t.Archive.Resolve(ctx, c)
	if err != nil {
		return nil, err
	}
	return renamed(s), nil
}

// Locked makes the set that a lock holds.
func (t Toolbox) Locked(arch string, f packages.Facts, file string) (*packages.Set, error) {
	c, err := choice(arch)
	if err != nil {
		return nil, err
	}
	own := packages.Facts{Epoch: recipes.SolverEpoch(), Snapshots: f.Snapshots}
	for from, to := range inputNames() {
		for _, l := range f.Lists {
			if l.Input == to {
				own.Lists = append(own.Lists, packages.List{Input: from, Packages: named(l.Packages, func(n string) string { return strings.TrimPrefix(n, prefix) })})
			}
		}
	}
	s, err := t.Archive.Locked(c, own, file)
	if err != nil {
		return nil, err
	}
	return renamed(s), nil
}

// choice is a flavor that has the packages of the toolbox and no kernel.
func choice(arch string) (recipes.Choice, error) {
	f, err := flavors.Load(base)
	if err != nil {
		return recipes.Choice{}, err
	}
	f.Name, f.Packages, f.Tools = "toolbox", names(), nil
	f.Models = map[string]flavors.Model{"generic": {}}
	f.Boot = map[string]flavors.Boot{arch: {}}
	return recipes.Choose(f, recipes.Options{Arch: arch})
}

// prefix begins the names of the toolbox's packages in a lock: those of the image may have the
// same names.
const prefix = "toolbox."

// named are packages with other names.
func named(all []packages.Package, name func(string) string) []packages.Package {
	out := slices.Clone(all)
	for i := range out {
		out[i].Name = name(out[i].Name)
	}
	return out
}

// renamed is a set with the inputs of the toolbox alone.
func renamed(s *packages.Set) *packages.Set {
	var all []inputs.Source
	for _, in := range s.Inputs {
		if name, ok := inputNames()[in.Name]; ok {
			in.Name = name
			all = append(all, in)
		}
	}
	facts := s.Facts
	facts.Lists = nil
	for _, l := range s.Lists {
		if name, ok := inputNames()[l.Input]; ok {
			facts.Lists = append(facts.Lists, packages.List{Input: name, Packages: named(l.Packages, func(n string) string { return prefix + n })})
		}
	}
	return &packages.Set{Facts: facts, Inputs: all, Over: func([]byte) ([]inputs.Source, error) {
		return nil, errors.New("BUG: the toolbox has no base image")
	}}
}
