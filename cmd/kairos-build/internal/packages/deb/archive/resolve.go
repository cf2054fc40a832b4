// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Request names the packages to resolve.
type Request struct {
	// Base is added to the Essential and required packages to make the base
	// set; for example "apt".
	Base []string
	// Extra is added to the base set.
	Extra []string
}

// A Selection is a closed set of packages: it meets every dependency of each package,
// and no two packages exclude each other. In both lists, a package comes after those
// that it pre-depends on.
type Selection struct {
	Base  []*Package
	Extra []*Package // without those of Base
}

// Resolve computes the closure of a request. Recommends are not followed. The
// same indexes and request give the same selection.
//
// The rule is close to apt's. For each name, the newest version over all suites
// counts. Dependencies with only one candidate are followed first, until none is
// left. Then the oldest open dependency with several candidates is met by a chosen
// package, or else by its first candidate that conflicts with no chosen package. A
// virtual name stands for its providers, sorted by priority, then by name.
func (a *Archive) Resolve(req Request) (*Selection, error) {
	r := newResolver(a)
	if err := r.roots(append(a.requiredNames(), req.Base...)); err != nil {
		return nil, err
	}
	base := r.sorted(nil)
	if err := r.roots(req.Extra); err != nil {
		return nil, err
	}
	if err := r.exclusions(); err != nil {
		return nil, err
	}
	inBase := map[string]bool{}
	for _, p := range base {
		inBase[p.Name] = true
	}
	return &Selection{Base: r.order(base), Extra: r.order(r.sorted(inBase))}, nil
}

// Closure finds packages and those that they depend on, by the rule of Resolve. What is Essential
// is among them only where a package names it.
func (a *Archive) Closure(names []string) ([]*Package, error) {
	r := newResolver(a)
	if err := r.roots(names); err != nil {
		return nil, err
	}
	return r.order(r.sorted(nil)), r.exclusions()
}

func newResolver(a *Archive) *resolver {
	return &resolver{archive: a, chosen: map[string]*Package{}, via: map[string]string{}, known: map[string]*Package{}}
}

type resolver struct {
	archive *Archive
	chosen  map[string]*Package
	via     map[string]string   // the package that wanted a chosen one; "" for a root
	known   map[string]*Package // results of Lookup; nil: no such package
	open    []demand
}

// A demand is a dependency that is not met yet.
type demand struct {
	owner *Package
	group Alternatives
}

// roots adds packages by name, and all their dependencies. The error has an UnknownError
// for each name that the archive lacks.
func (r *resolver) roots(names []string) error {
	var unknown []error
	for _, name := range slices.Sorted(slices.Values(names)) {
		p, err := r.lookup(name)
		if err != nil {
			return err
		}
		if p == nil {
			unknown = append(unknown, r.archive.Unknown(name))
			continue
		}
		r.choose(p, "")
	}
	if len(unknown) > 0 {
		return errors.Join(unknown...)
	}
	return r.settle()
}

func (r *resolver) lookup(name string) (*Package, error) {
	if p, ok := r.known[name]; ok {
		return p, nil
	}
	p, err := r.archive.Lookup(name)
	r.known[name] = p
	return p, err
}

func (r *resolver) choose(p *Package, via string) {
	if r.chosen[p.Name] != nil {
		return
	}
	r.chosen[p.Name], r.via[p.Name] = p, via
	for _, group := range slices.Concat(p.PreDepends, p.Depends) {
		r.open = append(r.open, demand{p, group})
	}
}

// settle meets every open demand.
func (r *resolver) settle() error {
	for len(r.open) > 0 {
		postponed, err := r.forced()
		if err != nil {
			return err
		}
		if len(postponed) == 0 {
			return nil
		}
		d := postponed[0]
		candidates, err := r.candidates(d.group)
		if err != nil {
			return err
		}
		r.open = postponed[1:]
		if !r.met(d.group) {
			r.choose(r.pick(candidates), d.owner.Name)
		}
	}
	return nil
}

// forced meets the demands with only one candidate, and those that arise from them, and
// returns the other demands.
func (r *resolver) forced() (postponed []demand, err error) {
	for len(r.open) > 0 {
		d := r.open[0]
		r.open = r.open[1:]
		if r.met(d.group) {
			continue
		}
		candidates, err := r.candidates(d.group)
		switch {
		case err != nil:
			return nil, err
		case len(candidates) == 0:
			return nil, r.unsatisfiable(d)
		case len(candidates) == 1:
			r.choose(candidates[0], d.owner.Name)
		default:
			postponed = append(postponed, d)
		}
	}
	return postponed, nil
}

// pick returns the first candidate that has no conflict with a chosen package. If all
// have one, it returns the first; exclusions reports the conflict at the end.
func (r *resolver) pick(candidates []*Package) *Package {
	for _, c := range candidates {
		if r.fits(c) {
			return c
		}
	}
	return candidates[0]
}

func (r *resolver) fits(c *Package) bool {
	for _, p := range r.chosen {
		if r.excludes(p, c) != nil || r.excludes(c, p) != nil {
			return false
		}
	}
	return true
}

// met reports whether a chosen package meets a group.
func (r *resolver) met(group Alternatives) bool {
	for _, rel := range group {
		for _, p := range r.chosen {
			if r.satisfies(p, rel) {
				return true
			}
		}
	}
	return false
}

// candidates returns the packages that meet a group, in the order of preference.
func (r *resolver) candidates(group Alternatives) ([]*Package, error) {
	var out []*Package
	add := func(name string, rel Relation) error {
		p, err := r.lookup(name)
		if p != nil && r.satisfies(p, rel) && !slices.Contains(out, p) {
			out = append(out, p)
		}
		return err
	}
	for _, rel := range group {
		if err := add(rel.Name, rel); err != nil {
			return nil, err
		}
		providers, err := r.byPriority(r.archive.providerNames(rel.Name))
		if err != nil {
			return nil, err
		}
		for _, name := range providers {
			if err := add(name, rel); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (r *resolver) byPriority(names []string) ([]string, error) {
	rank := map[string]int{}
	for _, name := range names {
		p, err := r.lookup(name)
		if err != nil {
			return nil, err
		}
		rank[name] = slices.Index([]string{"optional", "standard", "important", "required"}, p.Priority)
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank[b] - rank[a] })
	return names, nil
}

// satisfies reports whether a package meets a relation, by its own name or by one that
// it provides.
func (r *resolver) satisfies(p *Package, rel Relation) bool {
	switch rel.Arch {
	case "":
	case "any":
		if p.MultiArch != "allowed" {
			return false
		}
	case "native", r.archive.o.Arch:
	default:
		return false
	}
	return p.Name == rel.Name && rel.allows(p.Version) || provides(p, rel)
}

// provides follows Policy 7.5: a Provides without a version meets only
// relations without one.
func provides(p *Package, rel Relation) bool {
	for _, v := range p.Provides {
		if v.Name == rel.Name && (rel.Op == "" || v.Op == "=" && rel.allows(v.Version)) {
			return true
		}
	}
	return false
}

// sorted returns the chosen packages by name, without those of a set.
func (r *resolver) sorted(without map[string]bool) []*Package {
	var out []*Package
	for name, p := range r.chosen {
		if !without[name] {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *Package) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// order sorts a set, given by name, so that Pre-Depends come first. Where Pre-Depends
// give no order, Depends come first; a cycle is entered at its first name.
func (r *resolver) order(set []*Package) []*Package {
	rough := walk(set, func(p *Package) []Alternatives { return slices.Concat(p.PreDepends, p.Depends) }, r.satisfies)
	return walk(rough, func(p *Package) []Alternatives { return p.PreDepends }, r.satisfies)
}

// walk lists a set depth first, dependencies before the packages that need them.
func walk(set []*Package, edges func(*Package) []Alternatives, meets func(*Package, Relation) bool) []*Package {
	out := make([]*Package, 0, len(set))
	seen := map[*Package]bool{}
	var visit func(*Package)
	visit = func(p *Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		for _, group := range edges(p) {
			for _, rel := range group {
				for _, q := range set {
					if meets(q, rel) {
						visit(q)
					}
				}
			}
		}
		out = append(out, p)
	}
	for _, p := range set {
		visit(p)
	}
	return out
}

// exclusions reports every pair of chosen packages that exclude each other.
func (r *resolver) exclusions() error {
	all := r.sorted(nil)
	var texts []string
	for _, p := range all {
		for _, q := range all {
			if rel := r.excludes(p, q); rel != nil {
				texts = append(texts, fmt.Sprintf("%s %s conflicts with %s %s (%q); wanted by %s and by %s",
					p.Name, p.Version, q.Name, q.Version, rel.String(), r.path(p.Name), r.path(q.Name)))
			}
		}
	}
	if texts == nil {
		return nil
	}
	return problemf(ErrConflict, "these packages cannot be installed together: %s: leave one of them out", strings.Join(texts, "; "))
}

// excludes returns the relation in Conflicts or Breaks of p that matches q, or nil. A
// package never excludes itself.
func (r *resolver) excludes(p, q *Package) *Relation {
	if p.Name == q.Name {
		return nil
	}
	for _, field := range [][]Alternatives{p.Conflicts, p.Breaks} {
		for _, group := range field {
			for i := range group {
				rel := Relation{Name: group[i].Name, Op: group[i].Op, Version: group[i].Version}
				if r.satisfies(q, rel) {
					return &group[i]
				}
			}
		}
	}
	return nil
}
