// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/recipes"
)

// Kinds of changes.
const (
	KindTime       = "time"
	KindBase       = "base"
	KindKubernetes = "kubernetes"
	KindKernel     = "kernel"
	KindPackage    = "package"
)

// A Change is one difference between two locks that changes images.
type Change struct {
	Kind string `json:"kind"`
	Arch string `json:"architecture,omitempty"`
	Name string `json:"name"`
	Old  string `json:"old,omitempty"` // empty: it is new
	New  string `json:"new,omitempty"` // empty: it is gone
}

// Changes compares two locks of a flavor. Indexes that were signed again are no change.
// A package whose version is the same but whose file is not is shown with its digests.
func Changes(old, now *Lock) []Change {
	var all []Change
	if !old.Epoch.Equal(now.Epoch) {
		all = append(all, Change{Kind: KindTime, Name: "files", Old: old.Epoch.Format(time.RFC3339), New: now.Epoch.Format(time.RFC3339)})
	}
	for _, arch := range sortedSet(append(old.arches(), now.arches()...)) {
		all = append(all, machineChanges(arch, cmp.Or(old.Machine(arch), &Machine{}), cmp.Or(now.Machine(arch), &Machine{}))...)
	}
	return all
}

func machineChanges(arch string, old, now *Machine) []Change {
	var all []Change
	add := func(kind, name, a, b string) {
		if a != b {
			all = append(all, Change{kind, arch, name, a, b})
		}
	}
	add(KindBase, "image", old.Base.text(), now.Base.text())
	for _, d := range release.Distributions() {
		a, b := old.Of(d), now.Of(d)
		add(KindKubernetes, string(d), a.text(b), b.text(a))
	}
	before, after := old.table(), now.table()
	both := maps.Clone(before)
	maps.Copy(both, after)
	kernels := map[string]bool{}
	for _, m := range []*Machine{old, now} {
		m.kernels(kernels)
	}
	for _, name := range slices.Sorted(maps.Keys(both)) {
		kind := KindPackage
		if kernels[name] {
			kind = KindKernel
		}
		a, b := before[name], after[name]
		add(kind, name, packageText(a, b), packageText(b, a))
	}
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	return all
}

func rank(kind string) int {
	return slices.Index([]string{KindTime, KindBase, KindKubernetes, KindKernel, KindPackage}, kind)
}

func (m *Machine) kernels(names map[string]bool) {
	for _, in := range m.Inputs {
		for _, name := range in.Packages {
			names[name] = names[name] || in.Name == recipes.InputKernel
		}
	}
}

// packageText is the version of a package, or its digest where the versions are equal and the
// digests are not.
func packageText(p, other packages.Package) string {
	if p.Version == other.Version && p.SHA256 != other.SHA256 {
		return p.Version + " sha256:" + p.SHA256
	}
	return p.Version
}

func (b *Base) text() string {
	switch {
	case b == nil:
		return ""
	case b.Name == "":
		return b.Digest
	}
	return b.Name + "@" + b.Digest
}

// text is the release, with the digests of its files where the releases are equal and
// the files are not.
func (k *Kubernetes) text(other *Kubernetes) string {
	switch {
	case k == nil:
		return ""
	case other != nil && k.Version == other.Version && k.digests() != other.digests():
		return k.Version.String() + k.digests()
	}
	return k.Version.String()
}

func (k *Kubernetes) digests() string {
	text := " sha256:" + k.Program.SHA256
	if k.Images != nil {
		text += ", images sha256:" + k.Images.SHA256
	}
	return text
}
