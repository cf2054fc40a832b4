// SPDX-License-Identifier: Apache-2.0

package kmod

import "slices"

// Order lists the modules of names and all their dependencies, each once and after
// its own dependencies. It follows soft dependencies that exist, and skips a name
// that is neither a module nor an alias.
func (x *Index) Order(names ...string) []Module {
	o := orderer{index: x, seen: map[string]bool{}}
	for _, name := range names {
		o.resolve(name)
	}
	return o.list
}

type orderer struct {
	index *Index
	seen  map[string]bool
	list  []Module
}

func (o *orderer) resolve(name string) {
	for _, module := range o.index.Resolve(name) {
		o.visit(module)
	}
}

func (o *orderer) visit(name string) {
	m, ok := o.index.Module(name)
	if !ok || o.seen[m.Name] {
		return
	}
	o.seen[m.Name] = true
	soft := o.index.softdeps[m.Name]
	for _, dep := range slices.Backward(m.Deps) {
		o.visit(Name(dep))
	}
	for _, pre := range soft.Pre {
		o.resolve(pre)
	}
	o.list = append(o.list, m)
	for _, post := range soft.Post {
		o.resolve(post)
	}
}
