// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
)

// kernelPackages finds the packages that hold the files of the kernel that name stands
// for. name is such a package, or a meta package that depends on it, as
// linux-image-amd64 does. A kernel may be in several packages: Ubuntu's modules are in
// linux-modules-VERSION and linux-modules-extra-VERSION. The other dependencies
// (initramfs-tools, kmod, firmware) are for a classic installation. prefixes begin the
// names of the packages that hold files; the version follows.
func kernelPackages(a *archive.Archive, name string, prefixes []string) ([]*archive.Package, error) {
	w := kernelWalk{archive: a, prefixes: prefixes, seen: map[string]bool{}}
	first, err := lookup(a, name)
	if err == nil {
		err = w.visit(first)
	}
	if err == nil && len(w.found) == 0 { // a kernel under a name of its own
		w.found = []*archive.Package{first}
	}
	return w.found, err
}

type kernelWalk struct {
	archive  *archive.Archive
	prefixes []string
	seen     map[string]bool
	found    []*archive.Package
}

// visit adds p, if it holds files of a kernel, and then those that it depends on.
func (w *kernelWalk) visit(p *archive.Package) error {
	w.seen[p.Name] = true
	if w.holdsFiles(p.Name) {
		w.found = append(w.found, p)
	}
	for _, group := range p.Depends {
		name := group[0].Name
		if w.seen[name] || !slices.ContainsFunc(w.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		next, err := lookup(w.archive, name)
		if err != nil {
			return err
		}
		if err := w.visit(next); err != nil {
			return err
		}
	}
	return nil
}

// holdsFiles tells a package with files, linux-image-6.12.57+deb13-amd64, from a meta
// package, linux-image-amd64: its prefix is followed by the version.
func (w *kernelWalk) holdsFiles(name string) bool {
	return slices.ContainsFunc(w.prefixes, func(prefix string) bool {
		version, ok := strings.CutPrefix(name, prefix)
		return ok && version != "" && version[0] >= '0' && version[0] <= '9'
	})
}
