// SPDX-License-Identifier: Apache-2.0

// Package toolbox has the root that dnf, zypper and rpm run in, and lets them choose packages
// there. The root has packages of Debian, unpacked from its signed archive; what runs in it is one
// step of a graph, without a network. So the host needs none of these programs.
package toolbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// base is the flavor whose archive the toolbox is from. Its release is part of the recipe
// (see recipes.Solver).
const base = "debian-13"

// names are the packages of the toolbox for a family: its package manager, rpm, what solve.py
// needs, the folders that a step is mounted over, and what is called without being depended on,
// because every Debian has it: sh, and libzypp copies files with cp.
func names(family string) []string {
	return []string{"base-files", "coreutils", "dash", "python3", "rpm", family}
}

// An Archive is the family that the toolbox is made by.
type Archive interface {
	// Unpacked finds packages with all that they depend on. Their one input is a root in which
	// no program ran, and with no file that is newer than the epoch.
	Unpacked(ctx context.Context, c recipes.Choice, names []string, epoch time.Time) (*packages.Set, error)
	Locked(c recipes.Choice, f packages.Facts, file string) (*packages.Set, error)
}

// A Toolbox is made from a Debian archive. Its packages are unpacked and not configured: what
// their scripts do is for a system that boots, and takes longer than unpacking.
type Toolbox struct {
	Archive Archive
	Family  string // dnf or zypper
}

// Resolve finds the packages in the signed archive.
func (t Toolbox) Resolve(ctx context.Context, arch string) (*packages.Set, error) {
	c, err := choice(arch)
	if err != nil {
		return nil, err
	}
	s, err := t.Archive.Unpacked(ctx, c, names(t.Family), recipes.SolverEpoch())
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
	for _, l := range f.Lists {
		if l.Input == recipes.InputToolbox {
			own.Lists = append(own.Lists, packages.List{Input: recipes.InputBase, Packages: named(l.Packages, func(n string) string { return strings.TrimPrefix(n, prefix) })})
		}
	}
	s, err := t.Archive.Locked(c, own, file)
	if err != nil {
		return nil, err
	}
	return renamed(s), nil
}

// choice is the flavor whose archive the toolbox is from.
func choice(arch string) (recipes.Choice, error) {
	f, err := flavors.Load(base)
	return recipes.Choice{Flavor: f, Options: recipes.Options{Arch: arch}}, err
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

// renamed is a set with the input of the toolbox alone. An image and the choice of its packages
// have the same.
func renamed(s *packages.Set) *packages.Set {
	var all []inputs.Source
	for _, in := range s.Inputs {
		in.Name, in.Epoch = recipes.InputToolbox, recipes.SolverEpoch()
		all = append(all, in)
	}
	facts := s.Facts
	facts.Lists = nil
	for _, l := range s.Lists {
		facts.Lists = append(facts.Lists, packages.List{Input: recipes.InputToolbox, Packages: named(l.Packages, func(n string) string { return prefix + n })})
	}
	return &packages.Set{Facts: facts, Inputs: all, Over: func([]byte) ([]inputs.Source, error) {
		return nil, errors.New("BUG: the toolbox has no base image")
	}}
}
