// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// distribution is how a lock writes the distribution of a flavor.
func distribution(f *flavors.Flavor) string { return f.ID + " " + f.Release }

// New begins the lock of a flavor.
func New(f *flavors.Flavor, made time.Time) *Lock {
	return &Lock{Flavor: f.Name, Distribution: distribution(f), Components: f.Base.Archive.Components, Made: made.UTC().Truncate(time.Second)}
}

// Add adds the packages of a choice. All choices must be from the same state of the
// archive: the error says that it changed in between.
func (l *Lock) Add(c recipes.Choice, f packages.Facts) error {
	if len(l.Machines) == 0 {
		l.Epoch, l.Snapshots, l.Indexes = f.Epoch, f.Snapshots, f.Indexes
	}
	if !l.Epoch.Equal(f.Epoch) || !reflect.DeepEqual(l.Indexes, f.Indexes) {
		return fmt.Errorf("flavor %s: the archive changed while it was read: run the command again", l.Flavor)
	}
	m := l.Machine(c.Arch)
	if m == nil {
		l.Machines = append(l.Machines, Machine{Arch: c.Arch})
		slices.SortFunc(l.Machines, func(a, b Machine) int { return cmp.Compare(a.Arch, b.Arch) })
		m = l.Machine(c.Arch)
	}
	m.add(c, f.Lists)
	return nil
}

// add adds the inputs of a model.
func (m *Machine) add(c recipes.Choice, lists []packages.List) {
	requested := map[string][]string{}
	for _, l := range c.PackageLists() {
		requested[l.Input] = l.Names
	}
	table := m.table()
	for _, l := range lists {
		var names []string
		for _, p := range l.Packages {
			table[p.Name] = p
			names = append(names, p.Name)
		}
		m.share(Input{Name: l.Input, Models: []string{c.Model}, Names: requested[l.Input], Packages: names})
	}
	m.Packages = slices.SortedFunc(maps.Values(table), func(a, b packages.Package) int { return cmp.Compare(a.Name, b.Name) })
}

// share adds an input. If another model has the same one, both share it. The inputs of a
// model stay in their order.
func (m *Machine) share(in Input) {
	after := len(m.Inputs)
	for i, other := range m.Inputs {
		if other.Name != in.Name {
			continue
		}
		after = i + 1
		if slices.Equal(other.Names, in.Names) && slices.Equal(other.Packages, in.Packages) {
			m.Inputs[i].Models = sortedSet(append(other.Models, in.Models...))
			return
		}
	}
	m.Inputs = slices.Insert(m.Inputs, after, in)
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
