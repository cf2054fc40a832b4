// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/recipes"
)

// withBelow is a list with the names of the list that it is on top of: both are resolved
// together, because a package of one may exclude a package that the other needs.
func withBelow(l recipes.PackageList, all []recipes.PackageList) recipes.PackageList {
	for _, below := range all {
		if l.Over == below.Input {
			l.Names = slices.Concat(below.Names, l.Names)
		}
	}
	return l
}

// divide leaves out of the last list what the list below it has. Without the upper names,
// the resolver may have chosen packages below that it does not choose with them: then all
// packages are in the lower list.
func (s *set) divide(over string) {
	if over == "" {
		return
	}
	upper := &s.lists[len(s.lists)-1]
	below := &s.lists[slices.IndexFunc(s.lists, func(l list) bool { return l.input == over })]
	chosen := map[string]bool{}
	for _, p := range upper.packages {
		chosen[p.Name] = true
	}
	if slices.ContainsFunc(below.packages, func(p *archive.Package) bool { return !chosen[p.Name] }) {
		below.packages, upper.packages = upper.packages, nil
		return
	}
	for _, p := range below.packages {
		delete(chosen, p.Name)
	}
	upper.packages = slices.DeleteFunc(slices.Clone(upper.packages), func(p *archive.Package) bool { return !chosen[p.Name] })
}

// placed adds to an error about packages where they are named.
func placed(l recipes.PackageList, err error) error {
	var all []error
	for _, one := range parts(err) {
		text := l.Input + ": "
		if unknown, ok := errors.AsType[*archive.UnknownError](one); ok {
			if at := l.Place(unknown.Name); at != "" {
				text = at + ": " + text
			}
		}
		all = append(all, fmt.Errorf("%s%w", text, one))
	}
	return errors.Join(all...)
}

// parts are the errors that errors.Join joined.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
