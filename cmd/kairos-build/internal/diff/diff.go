// SPDX-License-Identifier: Apache-2.0

// Package diff says what differs between two images: packages, files, units, set-user-ID
// files, the kernel's configuration, layers, and what an upgrade downloads. It reads images
// and root file systems, and writes nothing. docs/diff.md describes the result.
package diff

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// Format is the version of the JSON document. It changes when a field changes its meaning.
const Format = 1

// A Side is one of the two images.
type Side struct {
	Ref     string // as the user named it
	Digest  string // of the manifest; empty for a disk
	Release map[string]string
	Layers  []Layer // bottom to top; none for a disk
	Tree    Tree
	// Packages are those of the package database.
	Packages []packages.Installed
}

// A Layer is one layer of an image.
type Layer struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, compressed
}

// A Result says what differs from A to B. Lists are sorted by name.
type Result struct {
	Format   int             `json:"format"`
	A        About           `json:"a"`
	B        About           `json:"b"`
	Notes    []string        `json:"notes"`    // what could not be compared
	Packages []PackageChange `json:"packages"` // without those that are equal
	Sizes    []SizeChange    `json:"sizes"`    // of packages, the largest change first
	Files    Files           `json:"files"`
	Units    []FileChange    `json:"units"` // of systemd, and the links that enable them
	SetID    []FileChange    `json:"set_id"`
	Kernel   []ConfigChange  `json:"kernel_config"`
	Upgrade  Upgrade         `json:"upgrade"`
}

// About identifies an image.
type About struct {
	Ref        string `json:"reference"`
	Digest     string `json:"digest,omitempty"`
	Version    string `json:"version,omitempty"`
	Kubernetes string `json:"kubernetes,omitempty"`
	Kernel     string `json:"kernel,omitempty"` // its version
	Packages   int    `json:"packages"`
	Files      int    `json:"files"` // and links
	Size       int64  `json:"size"`  // bytes of all files
	Download   int64  `json:"download,omitempty"`
}

// The kinds of changes.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// A PackageChange is about one package. Old and New are versions; one is empty for a package
// that is new or gone.
type PackageChange struct {
	Change string `json:"change"`
	Name   string `json:"name"`
	Arch   string `json:"architecture"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// A SizeChange is what the files of a package take, in bytes. Files of no package have no
// name.
type SizeChange struct {
	Name string `json:"name"`
	Old  int64  `json:"old"`
	New  int64  `json:"new"`
}

// Files counts what changed, and lists it.
type Files struct {
	Added   int          `json:"added"`
	Removed int          `json:"removed"`
	Changed int          `json:"changed"`
	List    []FileChange `json:"list"`
}

// A FileChange is about one file or link. What says what changed: content, mode, owner, kind
// or target.
type FileChange struct {
	Change  string `json:"change"`
	Path    string `json:"path"`
	What    string `json:"what,omitempty"`
	Package string `json:"package,omitempty"`
	OldSize int64  `json:"old_size"`
	NewSize int64  `json:"new_size"`
	OldMode string `json:"old_mode,omitempty"`
	NewMode string `json:"new_mode,omitempty"`
}

// A ConfigChange is about one option of the kernel: y, m, a value, or empty (not set).
type ConfigChange struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// An Upgrade is what a node with A downloads for B. Bytes is 0 if one side has no layers.
type Upgrade struct {
	Bytes  int64         `json:"bytes"`
	Whole  int64         `json:"whole"` // bytes of all layers of B
	Layers []LayerChange `json:"layers"`
}

// A LayerChange is a layer of B, and whether A has it.
type LayerChange struct {
	Layer
	Same bool `json:"same"`
}

// Compare compares two images. If one of them is the root of a disk, which has no /boot and
// no layers, these are left out.
func Compare(a, b *Side) *Result {
	r := &Result{Format: Format, Notes: []string{}}
	if (a.Layers == nil) != (b.Layers == nil) {
		a, b = a.withoutBoot(), b.withoutBoot()
		r.Notes = append(r.Notes, "one of the two is a disk: what is below /boot and the boot loader are not compared")
	}
	if a.Layers == nil || b.Layers == nil {
		r.Notes = append(r.Notes, "a disk has no layers: what an upgrade downloads is not known")
	}
	r.A, r.B = a.about(), b.about()
	r.Packages = comparePackages(a.Packages, b.Packages)
	ownersA, ownersB := a.Tree.owners(), b.Tree.owners()
	r.Sizes = compareSizes(a.Tree.sizes(ownersA), b.Tree.sizes(ownersB))
	r.Files = compareFiles(a.Tree, b.Tree, func(p string) string { return cmp.Or(ownersB[p], ownersA[p]) })
	r.Units = selectFiles(r.Files.List, func(f FileChange) bool { return isUnit(f.Path) })
	r.SetID = selectFiles(r.Files.List, func(f FileChange) bool { return a.Tree.setID(f.Path) || b.Tree.setID(f.Path) })
	r.Kernel = compareConfigs(a.Tree.kernelConfig(), b.Tree.kernelConfig())
	r.Upgrade = compareLayers(a.Layers, b.Layers)
	return r
}

func (s *Side) about() About {
	x := About{
		Ref: s.Ref, Digest: s.Digest, Version: s.Release["KAIROS_VERSION"], Kubernetes: s.Release["KAIROS_SOFTWARE_VERSION"],
		Kernel: s.Tree.kernel(), Packages: len(s.Packages),
	}
	for _, e := range s.Tree.Entries {
		if !e.Mode.IsDir() {
			x.Files++
			x.Size += e.Size
		}
	}
	for _, l := range s.Layers {
		x.Download += l.Size
	}
	return x
}

// withoutBoot leaves out what is not in a root image.
func (s *Side) withoutBoot() *Side {
	c := *s
	c.Tree.Entries = maps.Clone(s.Tree.Entries)
	maps.DeleteFunc(c.Tree.Entries, func(p string, _ Entry) bool { return notInRoot(p) })
	return &c
}

// comparePackages compares by name and architecture.
func comparePackages(a, b []packages.Installed) []PackageChange {
	type key struct{ name, arch string }
	table := func(list []packages.Installed) map[key]string {
		all := map[key]string{}
		for _, p := range list {
			all[key{p.Name, p.Arch}] = p.Version
		}
		return all
	}
	old, now := table(a), table(b)
	changes := []PackageChange{}
	for k, v := range old {
		if w, ok := now[k]; !ok {
			changes = append(changes, PackageChange{Removed, k.name, k.arch, v, ""})
		} else if v != w {
			changes = append(changes, PackageChange{Changed, k.name, k.arch, v, w})
		}
	}
	for k, v := range now {
		if _, ok := old[k]; !ok {
			changes = append(changes, PackageChange{Added, k.name, k.arch, "", v})
		}
	}
	slices.SortFunc(changes, func(a, b PackageChange) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return changes
}

func compareSizes(a, b map[string]int64) []SizeChange {
	changes := []SizeChange{}
	names := maps.Clone(a)
	maps.Copy(names, b)
	for name := range names {
		if a[name] != b[name] {
			changes = append(changes, SizeChange{name, a[name], b[name]})
		}
	}
	slices.SortFunc(changes, func(x, y SizeChange) int {
		return cmp.Or(cmp.Compare(abs(y.New-y.Old), abs(x.New-x.Old)), cmp.Compare(x.Name, y.Name))
	})
	return changes
}

func abs(n int64) int64 { return max(n, -n) }

// compareFiles compares everything but folders.
func compareFiles(a, b Tree, owner func(string) string) Files {
	f := Files{List: []FileChange{}}
	for p, x := range a.Entries {
		y, ok := b.Entries[p]
		if x.Mode.IsDir() && (!ok || y.Mode.IsDir()) {
			continue
		}
		if !ok || y.Mode.IsDir() {
			f.Removed++
			f.List = append(f.List, FileChange{Change: Removed, Path: "/" + p, Package: owner(p), OldSize: x.Size, OldMode: x.mode()})
		} else if what := x.differs(y); what != "" && !x.Mode.IsDir() {
			f.Changed++
			f.List = append(f.List, FileChange{Changed, "/" + p, what, owner(p), x.Size, y.Size, x.mode(), y.mode()})
		}
	}
	for p, y := range b.Entries {
		if x, ok := a.Entries[p]; !y.Mode.IsDir() && (!ok || x.Mode.IsDir()) {
			f.Added++
			f.List = append(f.List, FileChange{Change: Added, Path: "/" + p, Package: owner(p), NewSize: y.Size, NewMode: y.mode()})
		}
	}
	slices.SortFunc(f.List, func(x, y FileChange) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(y.Change, x.Change)) })
	return f
}

func selectFiles(list []FileChange, is func(FileChange) bool) []FileChange {
	return append([]FileChange{}, slices.DeleteFunc(slices.Clone(list), func(f FileChange) bool { return !is(f) })...)
}

// isUnit tells whether a path is a unit of systemd, a part of one, or a link that enables one.
func isUnit(p string) bool {
	return slices.ContainsFunc([]string{"/usr/lib/systemd/system/", "/etc/systemd/system/"}, func(dir string) bool { return strings.HasPrefix(p, dir) })
}

// compareConfigs compares kernel configurations. An option that is not set is absent.
func compareConfigs(a, b map[string]string) []ConfigChange {
	changes := []ConfigChange{}
	if a == nil || b == nil {
		return changes
	}
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a[name] != b[name] {
			changes = append(changes, ConfigChange{name, a[name], b[name]})
		}
	}
	return changes
}

func compareLayers(a, b []Layer) Upgrade {
	u := Upgrade{Layers: []LayerChange{}}
	for _, l := range b {
		same := slices.ContainsFunc(a, func(o Layer) bool { return o.Digest == l.Digest })
		again := slices.ContainsFunc(u.Layers, func(o LayerChange) bool { return o.Digest == l.Digest })
		u.Layers = append(u.Layers, LayerChange{l, same})
		u.Whole += l.Size
		if !same && !again && a != nil {
			u.Bytes += l.Size
		}
	}
	return u
}

// parseConfig reads a kernel configuration: CONFIG_NAME=value lines.
func parseConfig(data []byte) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(name, "CONFIG_") {
			all[name] = value
		}
	}
	return all
}

// kernelOf is the version of a kernel from the path of its configuration, such as
// usr/lib/modules/6.12.1/config.
func kernelOf(p string) string { return path.Base(path.Dir(p)) }
