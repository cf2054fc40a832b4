// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
)

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
