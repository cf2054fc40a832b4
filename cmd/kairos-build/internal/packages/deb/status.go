// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
)

// installedState is the state of a package that dpkg has installed, or that was
// unpacked and then added to its database.
const installedState = "install ok installed"

// Installed reads every package in dpkg's status file that dpkg-query -l shows.
func (p *Packages) Installed(database []byte) ([]packages.Installed, error) {
	stanzas, err := deb822.Parse(string(database))
	if err != nil {
		return nil, fmt.Errorf("package database: %w", err)
	}
	var all []packages.Installed
	for _, s := range stanzas {
		state := s.Get("Status")
		if s.Get("Version") == "" || strings.HasSuffix(state, " not-installed") {
			continue
		}
		in := packages.Installed{Name: s.Get("Package"), Version: s.Get("Version"), Arch: s.Get("Architecture")}
		in.Source, in.SourceVersion = sourceOf(s)
		if state != installedState {
			in.State = state
		}
		all = append(all, in)
	}
	return all, nil
}

// sourceOf is the source package. The field Source is left out if it would say the same
// as Package and Version.
func sourceOf(s deb822.Stanza) (name, version string) {
	name, version, _ = strings.Cut(s.Get("Source"), " ")
	return cmp.Or(name, s.Get("Package")), cmp.Or(strings.Trim(version, "()"), s.Get("Version"))
}

// installedPackages reads names and versions of the installed packages in dpkg's status
// file, for the architectures arch and "all".
func installedPackages(status []byte, arch string) (map[string]string, error) {
	stanzas, err := deb822.Parse(string(status))
	if err != nil {
		return nil, fmt.Errorf("package database: %w", err)
	}
	installed := map[string]string{}
	for _, s := range stanzas {
		of := s.Get("Architecture")
		if strings.HasSuffix(s.Get("Status"), " ok installed") && (of == arch || of == "all") {
			installed[s.Get("Package")] = s.Get("Version")
		}
	}
	return installed, nil
}

// missing lists the packages that are not installed, or only in an older version. A
// newer version, from the user's own archive or a later point release, stays.
func missing(packages []*archive.Package, installed map[string]string) []*archive.Package {
	var list []*archive.Package
	for _, p := range packages {
		version, ok := installed[p.Name]
		if !ok || archive.CompareVersions(version, p.Version) < 0 {
			list = append(list, p)
		}
	}
	return list
}
