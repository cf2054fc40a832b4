// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// path shows why a package is chosen: "a -> b -> name".
func (r *resolver) path(name string) string {
	steps := []string{name}
	for via := r.via[name]; via != "" && len(steps) < 100; via = r.via[via] {
		steps = append(steps, via)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}

func (r *resolver) unsatisfiable(d demand) error {
	var have []string
	for _, rel := range d.group {
		switch p := r.known[rel.Name]; {
		case p != nil:
			have = append(have, p.Name+" "+p.Version)
		case len(r.archive.providerNames(rel.Name)) > 0:
			have = append(have, rel.Name+" only from "+strings.Join(r.archive.providerNames(rel.Name), ", "))
		default:
			have = append(have, "no "+rel.Name)
		}
	}
	return problemf(ErrUnsatisfiable, "%s -> %s: nothing meets this dependency: the archive (%s) has %s",
		r.path(d.owner.Name), d.group, r.archive.suiteNames(), strings.Join(have, ", "))
}

func (a *Archive) suiteNames() string {
	names := make([]string, len(a.suites))
	for i, s := range a.suites {
		names[i] = s.Suite
	}
	return strings.Join(names, ", ")
}

// Unknown is the error for a package that no index has, with a suggestion.
func (a *Archive) Unknown(name string) error {
	hint := ""
	if providers := a.providerNames(name); len(providers) > 0 {
		hint = fmt.Sprintf(": it is a virtual package; name one of %s", strings.Join(providers[:min(len(providers), 8)], ", "))
	} else if near := nearest.Word(name, a.names()); near != "" {
		hint = fmt.Sprintf(": did you mean %q?", near)
	}
	return &UnknownError{Name: name, text: fmt.Sprintf("package %q is not in the archive (%s)%s", name, a.suiteNames(), hint)}
}
