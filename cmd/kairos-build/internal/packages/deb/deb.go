// SPDX-License-Identifier: Apache-2.0

// Package deb is the package family of Debian and its relatives. It chooses packages
// from signed archives, and makes inputs from them that need no network any more.
// framework/assemble installs them inside the graph.
package deb

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// Options of New. Host, Cache, Now and Log must be set.
type Options struct {
	// Mirrors are "URL" for the main archive, "security=URL" for the other, and
	// "snapshot=URL" and "security-snapshot=URL" for their histories.
	Mirrors []string
	Env     string // the same, separated by blanks, from the environment
	// Host is the root of this machine's file system. Its apt configuration counts
	// for the distribution that this machine runs.
	Host  fs.FS
	Cache string // folder of verified indexes and packages
	Now   func() time.Time
	Log   *slog.Logger
}

// Packages is the family. Several builds may use it, one after the other.
type Packages struct{ Options }

// New checks the addresses of the mirrors in Mirrors and Env.
func New(o Options) (*Packages, error) {
	_, err := archive.ChooseMirrors(archive.MirrorOptions{Flags: o.Mirrors, Env: o.Env})
	return &Packages{o}, err
}

// Database is the path of dpkg's status file.
func (p *Packages) Database() string { return "var/lib/dpkg/status" }

// BaseDatabases is where a base image has it.
func (p *Packages) BaseDatabases() []string { return []string{p.Database()} }

// Type is the type of our packages in package URLs.
func (p *Packages) Type() string { return "deb" }

// Resolve reads the signed archive and finds the packages of the choice.
func (p *Packages) Resolve(ctx context.Context, c recipes.Choice) (*packages.Set, error) {
	a, err := p.open(ctx, c.Flavor, c.Arch)
	if err != nil {
		return nil, err
	}
	s := newSet(a, c)
	lists := c.PackageLists()
	for _, list := range lists {
		if err := s.add(withBelow(list, lists)); err != nil {
			return nil, fmt.Errorf("flavor %s: %w", c.Flavor.Name, placed(list, err))
		}
		s.divide(list.Over)
	}
	return &packages.Set{Facts: s.facts(c.Flavor), Inputs: s.inputs(), Over: s.over}, nil
}

// Unpacked finds packages with all that they depend on, and not the base packages. Their one
// input, recipes.InputBase, is a root with their files, in which no script of them ran, and with
// no file that is newer than the epoch.
func (p *Packages) Unpacked(ctx context.Context, c recipes.Choice, names []string, epoch time.Time) (*packages.Set, error) {
	a, err := p.open(ctx, c.Flavor, c.Arch)
	if err != nil {
		return nil, err
	}
	s := newSet(a, c)
	s.epoch = epoch
	if s.base, err = a.Closure(names); err != nil {
		return nil, err
	}
	return &packages.Set{Facts: s.facts(c.Flavor), Inputs: s.inputs(), Over: s.over}, nil
}

func newSet(a *archive.Archive, c recipes.Choice) *set {
	return &set{archive: a, pool: a.Pool, arch: c.Arch, epoch: a.Releases()[0].Date.UTC(), spec: c.Flavor.Base.Archive}
}

// parallel is how many files are downloaded at the same time.
const parallel = 8

// open chooses the mirrors and verifies the signed releases.
func (p *Packages) open(ctx context.Context, flavor *flavors.Flavor, arch string) (*archive.Archive, error) {
	spec := flavor.Base.Archive
	mirrors, err := p.mirrors(flavor)
	if err != nil {
		return nil, err
	}
	keyring, err := flavor.Keyring()
	if err != nil {
		return nil, err
	}
	o := p.fetching()
	o.Sources, o.Components, o.Arch, o.Keyring, o.Keys, o.Now = sources(spec, mirrors), spec.Components, arch, keyring, spec.Keys, p.Now()
	return archive.Open(ctx, o)
}

// mirrors chooses the mirrors of a flavor.
func (p *Packages) mirrors(flavor *flavors.Flavor) (archive.Mirrors, error) {
	spec := flavor.Base.Archive
	mirrors, err := archive.ChooseMirrors(archive.MirrorOptions{
		Flags: p.Mirrors, Env: p.Env, Host: p.Host, Distribution: flavor.ID,
		Default: archive.Mirrors{Main: archive.Mirror{URL: spec.Mirror}, Security: archive.Mirror{URL: spec.Security}},
	})
	p.Log.Info("mirrors", "main", mirrors.Main.URL, "from", mirrors.Main.From, "security", mirrors.Security.URL, "security from", mirrors.Security.From)
	return mirrors, err
}

// fetching are the options that do not depend on the flavor.
func (p *Packages) fetching() archive.Options {
	return archive.Options{
		Cache: p.Cache, Log: p.Log,
		Parallel: parallel, Transport: archive.NewTransport(parallel, archive.AptProxy(p.Host)),
	}
}

func sources(spec flavors.Archive, mirrors archive.Mirrors) []archive.Source {
	var all []archive.Source
	for _, suite := range spec.Suites {
		all = append(all, archive.Source{Mirror: mirrors.Main.URL, Suite: suite})
	}
	for _, suite := range spec.SecuritySuites {
		all = append(all, archive.Source{Mirror: mirrors.Security.URL, Suite: suite})
	}
	return all
}

func lookup(a *archive.Archive, name string) (*archive.Package, error) {
	p, err := a.Lookup(name)
	if err == nil && p == nil {
		return nil, a.Unknown(name)
	}
	return p, err
}
