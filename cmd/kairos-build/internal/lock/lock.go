// SPDX-License-Identifier: Apache-2.0

// Package lock is the exact contents of a flavor's images, as a file: every package with
// its digest, the signed indexes that listed them, the base image and the releases of
// Kubernetes. It reads a lock strictly, prints it, says where it does not fit a flavor,
// and compares two. It fetches nothing. docs/lock.md describes the file.
package lock

import (
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Format is the version of the file. It changes when a key changes its meaning.
const Format = 1

// A Lock is the exact contents of the images of one flavor.
type Lock struct {
	Flavor       string
	Distribution string   // ID and VERSION_ID of os-release: debian 13
	Components   []string // of the archives
	Made         time.Time
	Epoch        time.Time // no file of an image is newer
	Snapshots    map[string]time.Time
	Indexes      []packages.Index
	Machines     []Machine // by architecture, sorted
}

// A Machine is what images for one architecture are made from.
type Machine struct {
	Arch       string // as Go names it
	Base       *Base  // the image of --base; nil: none
	Kubernetes []Kubernetes
	Inputs     []Input
	Packages   []packages.Package // by name, sorted
}

// A Base is the image that others are made from.
type Base struct {
	Name   string // as --base names it; empty for a folder or a file
	Digest string // sha256:<hex>
}

// Kubernetes is a release of k3s or k0s.
type Kubernetes struct {
	Wanted  string // what it was asked for as: v1.34
	Version release.Version
	Program File
	Images  *File // the publisher's container images; nil: locked without them
}

// A File is a file of a release.
type File struct {
	Name   string
	URL    string // without user, password and query
	Size   int64
	SHA256 string
}

// An Input is the packages of one input of a recipe.
type Input struct {
	Name     string
	Models   []string // that have these packages, sorted
	Names    []string // of the packages that flavor and model name
	Packages []string // names of all of them, in the order of their installation
}

// Machine is what the lock has for an architecture, or nil.
func (l *Lock) Machine(arch string) *Machine {
	for i := range l.Machines {
		if l.Machines[i].Arch == arch {
			return &l.Machines[i]
		}
	}
	return nil
}

// Of is the release of a distribution of Kubernetes, or nil.
func (m *Machine) Of(d release.Distribution) *Kubernetes {
	for i := range m.Kubernetes {
		if m.Kubernetes[i].Version.Distribution() == d {
			return &m.Kubernetes[i]
		}
	}
	return nil
}

// input is the input name of a model, or nil.
func (m *Machine) input(name, model string) *Input {
	for i, in := range m.Inputs {
		if in.Name == name && contains(in.Models, model) {
			return &m.Inputs[i]
		}
	}
	return nil
}

// Facts are what a package family makes the packages of a model from. The lock must fit;
// see Differences.
func (l *Lock) Facts(arch, model string) (packages.Facts, error) {
	f := packages.Facts{Epoch: l.Epoch, Indexes: l.Indexes, Snapshots: l.Snapshots}
	m := l.Machine(arch)
	if m == nil {
		return f, fmt.Errorf("BUG: the lock of %s has no architecture %s", l.Flavor, arch)
	}
	table := m.table()
	for _, in := range m.Inputs {
		if !contains(in.Models, model) {
			continue
		}
		list := packages.List{Input: in.Name}
		for _, name := range in.Packages {
			list.Packages = append(list.Packages, table[name])
		}
		f.Lists = append(f.Lists, list)
	}
	return f, nil
}

// table is the packages by their names.
func (m *Machine) table() map[string]packages.Package {
	table := make(map[string]packages.Package, len(m.Packages))
	for _, p := range m.Packages {
		table[p.Name] = p
	}
	return table
}
