// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
)

// batches splits packages so that dpkg can unpack each batch as a whole: the
// pre-dependencies of a package are in an earlier batch, together with everything that
// they need to be configured (Debian Policy 7.2). Packages that are not listed are
// installed already. A cycle, which the archive should not have, becomes the last
// batch, and dpkg reports it.
func batches(packages []*archive.Package) [][]*archive.Package {
	left := packages
	var result [][]*archive.Package
	for len(left) > 0 {
		batch, rest := nextBatch(left)
		result, left = append(result, batch), rest
	}
	return result
}

// nextBatch takes the largest part of left in which no package waits for a
// pre-dependency and every dependency is inside.
func nextBatch(left []*archive.Package) (batch, rest []*archive.Package) {
	all := providersOf(left)
	in := map[string]bool{}
	for _, p := range left {
		in[p.Name] = !needs(p.PreDepends, all, func(string) bool { return true })
	}
	for changed := true; changed; {
		changed = false
		for _, p := range left {
			if in[p.Name] && needs(p.Depends, all, func(name string) bool { return !in[name] }) {
				in[p.Name], changed = false, true
			}
		}
	}
	for _, p := range left {
		if in[p.Name] {
			batch = append(batch, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(batch) == 0 {
		return left, nil
	}
	return batch, rest
}

// providersOf maps each name, real or virtual, to the packages that have it.
func providersOf(packages []*archive.Package) map[string][]string {
	providers := map[string][]string{}
	for _, p := range packages {
		providers[p.Name] = append(providers[p.Name], p.Name)
		for _, virtual := range p.Provides {
			providers[virtual.Name] = append(providers[virtual.Name], p.Name)
		}
	}
	return providers
}

// needs reports whether one of the groups has a provider for which missing is true.
func needs(groups []archive.Alternatives, providers map[string][]string, missing func(name string) bool) bool {
	for _, group := range groups {
		found, lacking := false, false
		for _, relation := range group {
			for _, name := range providers[relation.Name] {
				found = true
				lacking = lacking || missing(name)
			}
		}
		if found && lacking {
			return true
		}
	}
	return false
}

// batchList is the file that kairos-assemble reads, with lines `<batch> <file>`.
func batchList(packages []*archive.Package) []byte {
	var list strings.Builder
	for i, batch := range batches(packages) {
		for _, p := range batch {
			fmt.Fprintf(&list, "%d %s\n", i, debName(p))
		}
	}
	return []byte(list.String())
}

func debName(p *archive.Package) string { return filepath.Base(p.Filename) }
