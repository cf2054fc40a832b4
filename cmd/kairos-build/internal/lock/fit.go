// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// Differences says where the lock does not fit a choice, one phrase each. If there are
// none, the choice can be built from the lock.
func (l *Lock) Differences(c recipes.Choice) []string {
	if l.Flavor != c.Flavor.Name {
		return []string{fmt.Sprintf("it is the lock of the flavor %s", l.Flavor)}
	}
	all := l.ofArchive(c.Flavor)
	m := l.Machine(c.Arch)
	if m == nil {
		return append(all, fmt.Sprintf("the lock has no architecture %s, only %s", c.Arch, strings.Join(l.arches(), ", ")))
	}
	if !contains(m.models(), c.Model) {
		return append(all, fmt.Sprintf("the lock has no model %s, only %s", c.Model, strings.Join(m.models(), ", ")))
	}
	return append(all, m.ofLists(c)...)
}

// ofArchive compares distribution, suites and components.
func (l *Lock) ofArchive(f *flavors.Flavor) []string {
	var suites []string
	for _, i := range l.Indexes {
		suites = append(suites, i.Suite)
	}
	spec := f.Base.Archive
	wanted := spec.Parts()
	var all []string
	if want := distribution(f); l.Distribution != want {
		all = append(all, fmt.Sprintf("the flavor is %s, the lock has %s", want, l.Distribution))
	}
	all = append(all, changed("suite", sortedSet(suites), sortedSet(wanted))...)
	return append(all, changed("component", sortedSet(l.Components), sortedSet(spec.Components))...)
}

func (l *Lock) arches() (all []string) {
	for _, m := range l.Machines {
		all = append(all, m.Arch)
	}
	return all
}

func (m *Machine) models() []string {
	var all []string
	for _, in := range m.Inputs {
		all = append(all, in.Models...)
	}
	return sortedSet(all)
}

// ofLists compares the packages that flavor and model name.
func (m *Machine) ofLists(c recipes.Choice) []string {
	var all []string
	wanted := append([]string{recipes.InputBase}, c.HelperInputs()...)
	for _, l := range c.PackageLists() {
		wanted = append(wanted, l.Input)
		in := m.input(l.Input, c.Model)
		if in == nil {
			all = append(all, fmt.Sprintf("the lock has no input %s", l.Input))
			continue
		}
		all = append(all, changed("package of the input "+l.Input, in.Names, l.Names)...)
	}
	for _, in := range m.Inputs {
		if contains(in.Models, c.Model) && !contains(wanted, in.Name) {
			all = append(all, fmt.Sprintf("the lock has the input %s (%s), the flavor has not", in.Name, strings.Join(in.Names, ", ")))
		}
	}
	if m.input(recipes.InputBase, c.Model) == nil {
		all = append(all, "the lock has no input "+recipes.InputBase)
	}
	return all
}

// changed says what the flavor has and the lock has not, and the reverse. Both lists are
// sorted.
func changed(what string, locked, wanted []string) []string {
	var all []string
	for _, name := range wanted {
		if !contains(locked, name) {
			all = append(all, fmt.Sprintf("the flavor has the %s %s, the lock has not", what, name))
		}
	}
	for _, name := range locked {
		if !contains(wanted, name) {
			all = append(all, fmt.Sprintf("the lock has the %s %s, the flavor has not", what, name))
		}
	}
	return all
}
