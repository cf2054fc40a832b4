// SPDX-License-Identifier: Apache-2.0

// Package changelog says what is new in an image, for people who decide on an upgrade:
// packages, kernel, Kubernetes, vulnerabilities that the packages' own changelogs name, changed
// configuration, and sizes. It is made of what diff read; it fetches nothing.
// docs/changelog.md describes the result.
package changelog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// Format is the version of the JSON document. It changes when a field changes its meaning.
const Format = 1

// A Changelog is what is new in an image. Lists are sorted.
type Changelog struct {
	Format   int           `json:"format"`
	Old      diff.About    `json:"old"`
	New      diff.About    `json:"new"`
	Packages []Package     `json:"packages"` // by the names of their sources
	Security []Fix         `json:"security"`
	Config   Configuration `json:"config"`
	Size     Sizes         `json:"size"`
	Upgrade  Download      `json:"upgrade"`
	// Notes say what is not known.
	Notes []string `json:"notes"`
}

// A Package is a source package whose packages in the image changed.
type Package struct {
	Change   string   `json:"change"` // added, removed or changed
	Name     string   `json:"name"`   // of the source
	Packages []string `json:"packages"`
	Old      string   `json:"old,omitempty"` // versions of the source
	New      string   `json:"new,omitempty"`
	CVEs     []string `json:"cves"`
	// Entries are those of its changelog that are new, the newest first.
	Entries []Entry `json:"entries"`
}

// A Fix is a vulnerability that changelogs of packages name. They may name one that does not
// concern the image, and may leave one out.
type Fix struct {
	CVE      string   `json:"cve"`
	Packages []string `json:"packages"` // source packages
}

// A Configuration is what is set otherwise.
type Configuration struct {
	Cmdline [2]string           `json:"cmdline"` // of the kernel, old and new; empty: not known
	Files   []diff.FileChange   `json:"files"`   // below /etc
	Units   []diff.FileChange   `json:"units"`
	Kernel  []diff.ConfigChange `json:"kernel"`
}

// Sizes are those of all files, in bytes.
type Sizes struct {
	Old int64 `json:"old"`
	New int64 `json:"new"`
}

// A Download is what a node with the old image downloads. Bytes is 0 if it is not known.
type Download struct {
	Bytes int64 `json:"bytes"`
	Whole int64 `json:"whole"`
}

// Make makes the changelog of two images. compare orders versions of packages.
func Make(a, b *diff.Side, compare func(a, b string) int) *Changelog {
	r := diff.Compare(a, b)
	c := &Changelog{
		Format: Format, Old: r.A, New: r.B, Size: Sizes{r.A.Size, r.B.Size}, Upgrade: Download{r.Upgrade.Bytes, r.Upgrade.Whole}, Notes: r.Notes,
		Config: Configuration{Cmdline: [2]string{a.Tree.Cmdline(), b.Tree.Cmdline()}, Files: settings(r.Files.List), Units: r.Units, Kernel: r.Kernel},
	}
	c.Packages = sources(a.Packages, b.Packages)
	c.read(b, compare)
	c.Security = fixes(c.Packages)
	return c
}

// settings are the changed files below /etc that are no units.
func settings(list []diff.FileChange) []diff.FileChange {
	found := []diff.FileChange{}
	for _, f := range list {
		if strings.HasPrefix(f.Path, "/etc/") && !strings.HasPrefix(f.Path, "/etc/systemd/system/") {
			found = append(found, f)
		}
	}
	return found
}

// sources compares the packages of two images by their sources.
func sources(a, b []packages.Installed) []Package {
	type side struct {
		version string
		names   []string
	}
	table := func(list []packages.Installed) map[string]side {
		all := map[string]side{}
		for _, p := range list {
			if p.State != "" {
				continue
			}
			name := cmp.Or(p.Source, p.Name)
			s := all[name]
			s.version, s.names = max(s.version, cmp.Or(p.SourceVersion, p.Version)), append(s.names, p.Name)
			all[name] = s
		}
		return all
	}
	old, now := table(a), table(b)
	changes := []Package{}
	for name, s := range old {
		t, ok := now[name]
		switch {
		case !ok:
			changes = append(changes, Package{Change: diff.Removed, Name: name, Packages: s.names, Old: s.version})
		case s.version != t.version:
			changes = append(changes, Package{Change: diff.Changed, Name: name, Packages: t.names, Old: s.version, New: t.version})
		}
	}
	for name, t := range now {
		if _, ok := old[name]; !ok {
			changes = append(changes, Package{Change: diff.Added, Name: name, Packages: t.names, New: t.version})
		}
	}
	for i := range changes {
		slices.Sort(changes[i].Packages)
		changes[i].Packages = slices.Compact(changes[i].Packages)
		changes[i].CVEs, changes[i].Entries = []string{}, []Entry{}
	}
	slices.SortFunc(changes, func(x, y Package) int { return cmp.Compare(x.Name, y.Name) })
	return changes
}

// read reads the changelogs of the changed packages, and notes which are missing.
func (c *Changelog) read(b *diff.Side, compare func(a, b string) int) {
	var missing []string
	changed := 0
	for i := range c.Packages {
		p := &c.Packages[i]
		if p.Change != diff.Changed {
			continue
		}
		changed++
		data := changelogOf(b, p.Packages)
		if data == nil {
			missing = append(missing, p.Name)
			continue
		}
		list, err := entries(data, p.Old, p.New, compare)
		if err != nil {
			c.Notes = append(c.Notes, fmt.Sprintf("the changelog of %s cannot be read: %v", p.Name, err))
			continue
		}
		p.Entries = append(p.Entries, list...)
		p.CVEs = cvesOf(list)
	}
	switch {
	case len(missing) == 0:
	case len(missing) == changed:
		c.Notes = append(c.Notes, "the new image has no changelogs of its packages, so which vulnerabilities are fixed is not known: its flavor leaves them out")
	default:
		c.Notes = append(c.Notes, fmt.Sprintf("the new image has no changelog of %s: what they fixed is not known", strings.Join(missing, ", ")))
	}
}

// changelogOf is the first changelog that one of the packages of a source has.
func changelogOf(s *diff.Side, names []string) []byte {
	for _, name := range names {
		if data := s.Tree.Changelog(name); data != nil {
			return data
		}
	}
	return nil
}

// fixes are the vulnerabilities that the packages name.
func fixes(list []Package) []Fix {
	all := []Fix{}
	for _, p := range list {
		for _, cve := range p.CVEs {
			i := slices.IndexFunc(all, func(f Fix) bool { return f.CVE == cve })
			if i < 0 {
				all = append(all, Fix{CVE: cve})
				i = len(all) - 1
			}
			all[i].Packages = append(all[i].Packages, p.Name)
		}
	}
	slices.SortFunc(all, func(a, b Fix) int { return compareCVEs(a.CVE, b.CVE) })
	return all
}
