// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"fmt"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/bootstrap"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/recipes"
)

// Roles of archives, as a lock names them.
const (
	mainArchive     = "main"
	securityArchive = "security"
)

// Locked makes the set that a lock holds. It makes no request: packages are found by
// their paths and checked by their digests, and no index is read. file names the lock
// in messages.
func (p *Packages) Locked(c recipes.Choice, facts packages.Facts, file string) (*packages.Set, error) {
	places, err := p.places(c.Flavor, facts, file)
	if err != nil {
		return nil, err
	}
	s := &set{pool: archive.NewPool(p.fetching()), arch: c.Arch, epoch: facts.Epoch.UTC()}
	for _, l := range facts.Lists {
		found, err := places.all(l.Packages)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if l.Input == recipes.InputBase {
			s.base = found
			continue
		}
		s.lists = append(s.lists, list{l.Input, found})
	}
	return &packages.Set{Facts: facts, Inputs: s.inputs(), Over: s.over}, nil
}

// places are where locked packages may be.
type places struct {
	file      string
	mirrors   archive.Mirrors
	histories archive.Histories
	snapshots map[string]time.Time
}

func (p *Packages) places(flavor *flavors.Flavor, facts packages.Facts, file string) (places, error) {
	mirrors, err := p.mirrors(flavor)
	if err != nil {
		return places{}, err
	}
	spec := flavor.Base.Archive
	histories, err := archive.ChooseHistories(p.Mirrors, p.Env, archive.Histories{Main: spec.Snapshot, Security: spec.SecuritySnapshot})
	return places{file, mirrors, histories, facts.Snapshots}, err
}

func (p places) all(locked []packages.Package) ([]*archive.Package, error) {
	var all []*archive.Package
	for _, l := range locked {
		found, err := p.find(l)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", l.Name, err)
		}
		all = append(all, found)
	}
	return all, nil
}

// find gives a locked package its addresses.
func (p places) find(l packages.Package) (*archive.Package, error) {
	mirror, history := p.mirrors.Main.URL, p.histories.Main
	switch l.Archive {
	case mainArchive:
	case securityArchive:
		mirror, history = p.mirrors.Security.URL, p.histories.Security
	default:
		return nil, fmt.Errorf("archive %q: a package is from the archive %s or %s", l.Archive, mainArchive, securityArchive)
	}
	address, err := archive.Address(mirror, l.Path)
	if err != nil {
		return nil, err
	}
	past, err := archive.InHistory(history, p.snapshots[l.Archive], l.Path)
	return &archive.Package{
		Name: l.Name, Version: l.Version, Arch: l.Arch, Filename: l.Path, Size: l.Size, SHA256: l.SHA256,
		URL: address, Locked: &archive.Locked{File: p.file, History: past},
	}, err
}

// withRelations returns the packages with their relations. Packages from a lock have
// none, so they are read from the .debs. In an index they are the same.
func withRelations(list []*archive.Package, paths []string) ([]*archive.Package, error) {
	all := slices.Clone(list)
	for i, p := range list {
		if p.Locked == nil {
			continue
		}
		related, err := readRelations(p, paths[i])
		if err != nil {
			return nil, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		all[i] = related
	}
	return all, nil
}

func readRelations(p *archive.Package, path string) (*archive.Package, error) {
	text, err := bootstrap.ReadControl(path)
	if err != nil {
		return nil, err
	}
	stanzas, err := deb822.Parse(text)
	if err != nil || len(stanzas) != 1 {
		return nil, fmt.Errorf("%s: its file control has %d stanzas, want 1: %w", path, len(stanzas), err)
	}
	related := *p
	err = related.SetRelations(stanzas[0].Get)
	return &related, err
}

// facts are what a lock keeps of the set.
func (s *set) facts(flavor *flavors.Flavor) packages.Facts {
	spec := flavor.Base.Archive
	f := packages.Facts{Epoch: s.epoch, Snapshots: map[string]time.Time{}}
	for _, r := range s.archive.Releases() {
		role := roleOf(spec, r.Source.Suite)
		f.Indexes = append(f.Indexes, packages.Index{
			Archive: role, Suite: r.Source.Suite, URL: fetch.Shown(r.URL), Date: r.Date.UTC(), SHA256: r.SHA256, Key: r.Signer.Name, Fingerprint: r.Signer.Fingerprint,
		})
		if at := r.Date.UTC().Add(kept); at.After(f.Snapshots[role]) {
			f.Snapshots[role] = at
		}
	}
	f.Lists = []packages.List{{Input: recipes.InputBase, Packages: lockedOf(spec, s.base)}}
	for _, l := range s.lists {
		f.Lists = append(f.Lists, packages.List{Input: l.input, Packages: lockedOf(spec, l.packages)})
	}
	return f
}

// kept is how long after the date of an archive its history is asked for. Snapshots are
// made every six hours, and need a few hours to see a new state; an archive keeps the
// files that it no longer lists for a day and a half.
const kept = 24 * time.Hour

func roleOf(spec flavors.Archive, suite string) string {
	if slices.Contains(spec.SecuritySuites, suite) {
		return securityArchive
	}
	return mainArchive
}

func lockedOf(spec flavors.Archive, list []*archive.Package) []packages.Package {
	var all []packages.Package
	for _, p := range list {
		all = append(all, packages.Package{
			Name: p.Name, Version: p.Version, Arch: p.Arch, Archive: roleOf(spec, p.Suite), Path: p.Filename, Size: p.Size, SHA256: p.SHA256,
		})
	}
	return all
}
