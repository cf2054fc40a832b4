// SPDX-License-Identifier: Apache-2.0

// Package matrix selects what is to be built from a matrix of flavors: by the values of its
// axes, and by what a change touches. It reads files and a git repository, and builds nothing.
package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// Format is the version of the JSON document. It changes when a field changes its meaning.
const Format = 1

// ErrBadInput marks errors that the user can fix by changing the command or the files that
// it names.
var ErrBadInput = errors.New("bad input")

// badInput marks an error. Its text stays as it is.
func badInput(err error) error { return inputError{err} }

type inputError struct{ error }

func (e inputError) Unwrap() []error { return []error{e.error, ErrBadInput} }

// A Filter says which cells of a matrix are selected. An axis without values selects all.
type Filter struct {
	Flavors, Architectures, Models, Kubernetes []string
	// Since is a revision: only cells whose inputs differ from it are selected.
	Since string
	// Part is N/M: every Mth cell, from the Nth on. Empty: all.
	Part string
}

// A Cell is an image that is to be built.
type Cell struct {
	// Name is stable, and differs from those of all other cells.
	Name string `json:"name"`
	flavors.Cell
	// Flags are those of `kairos-build flavor FLAVOR` for this cell.
	Flags string `json:"flags"`
	// Inputs are the digests of what the image is made from, and Reasons say which of them
	// changed. Both are there only with Filter.Since.
	Inputs  map[string]string `json:"inputs,omitempty"`
	Reasons []string          `json:"reasons,omitempty"`
}

// A Selection is what a filter left of a matrix.
type Selection struct {
	Format  int    `json:"format"`
	File    string `json:"file"`
	Since   string `json:"since,omitempty"`
	Cells   []Cell `json:"cells"`
	LeftOut int    `json:"left_out"`
	// Why says why Cells is empty.
	Why string `json:"why,omitempty"`
}

// Select selects cells. A filter of the axes that leaves nothing is an error; a change that
// touches nothing is none: Selection.Why says it.
func Select(ctx context.Context, m *flavors.Matrix, f Filter) (*Selection, error) {
	if err := f.check(m); err != nil {
		return nil, badInput(err)
	}
	s := &Selection{Format: Format, File: m.File(), Since: f.Since, Cells: []Cell{}}
	for _, c := range m.Cells() {
		if f.has(m, c) {
			s.Cells = append(s.Cells, Cell{Name: m.Name(c), Cell: c, Flags: flagsOf(c)})
		}
	}
	if len(s.Cells) == 0 {
		return nil, badInput(f.empty(m))
	}
	if f.Since != "" {
		if err := s.since(ctx, m, f.Since); err != nil {
			return nil, err
		}
	}
	s.LeftOut = len(m.Cells()) - len(s.Cells)
	return s, s.part(f.Part)
}

// flagsOf are the flags of a build.
func flagsOf(c flavors.Cell) string {
	text := "--arch " + c.Architecture + " --model " + c.Model
	if name, version, ok := strings.Cut(c.Kubernetes, " "); ok {
		text += " --" + name + " " + version
	}
	return text
}

// check refuses values that no cell has. It names all of them.
func (f Filter) check(m *flavors.Matrix) error {
	has := m.Values()
	refs := append(slices.Clone(has.Flavors), m.Flavors...)
	var errs []error
	for _, axis := range []struct {
		flag        string
		values, has []string
	}{
		{"--flavors", f.Flavors, refs}, {"--arch", f.Architectures, has.Architectures},
		{"--models", f.Models, has.Models}, {"--k3s, --k0s", f.Kubernetes, has.Kubernetes},
	} {
		for _, v := range axis.values {
			if !slices.Contains(axis.has, v) {
				slices.Sort(axis.has)
				known := strings.Join(slices.Compact(axis.has), ", ")
				errs = append(errs, fmt.Errorf("%s: the matrix %s has no %q; %s", axis.flag, m.File(), v, cmp.Or(nearest.DidYouMean(v, axis.has), "it has "+known)))
			}
		}
	}
	return errors.Join(errs...)
}

// has tells whether the axes of a filter select a cell.
func (f Filter) has(m *flavors.Matrix, c flavors.Cell) bool {
	in := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(list, v) })
	}
	return in(f.Flavors, c.Flavor, m.Open(c).Name) && in(f.Architectures, c.Architecture) && in(f.Models, c.Model) && in(f.Kubernetes, c.Kubernetes)
}

// empty says why the axes select nothing: which pair of them excludes each other.
func (f Filter) empty(m *flavors.Matrix) error {
	var asked []string
	for _, axis := range []struct {
		name   string
		values []string
	}{{"flavors", f.Flavors}, {"architectures", f.Architectures}, {"models", f.Models}, {"Kubernetes", f.Kubernetes}} {
		if len(axis.values) > 0 {
			asked = append(asked, axis.name+" "+strings.Join(axis.values, ", "))
		}
	}
	return fmt.Errorf("nothing is selected: each of these is in %s, and no combination of them: %s; `kairos-build matrix` without filters lists what there is", m.File(), strings.Join(asked, "; "))
}

// part keeps a part of the cells.
func (s *Selection) part(text string) error {
	if text == "" {
		return nil
	}
	first, second, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(first)
	of, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil || n < 1 || of < n {
		return badInput(fmt.Errorf("--part %q: want N/M, such as 1/2 for the first of two halves", text))
	}
	kept := []Cell{}
	for i, c := range s.Cells {
		if i%of == n-1 {
			kept = append(kept, c)
		}
	}
	s.LeftOut += len(s.Cells) - len(kept)
	if len(kept) == 0 && len(s.Cells) > 0 {
		s.Why = fmt.Sprintf("part %s of %d images is empty", text, len(s.Cells))
	}
	s.Cells = kept
	return nil
}
