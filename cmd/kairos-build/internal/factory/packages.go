// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/bootstrap"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// A packageSet is everything that an image takes from the archive.
type packageSet struct {
	archive *archive.Archive
	epoch   time.Time          // of the release: no file is newer
	base    []*archive.Package // essential, required, and apt
	lists   []debList
}

// A debList is the packages of one input.
type debList struct {
	input    string
	packages []*archive.Package
}

// parallel is how many files are downloaded at the same time.
const parallel = 8

// openArchive chooses the mirrors and verifies the signed releases.
func (b *build) openArchive(ctx context.Context, flavor *flavors.Flavor, arch string) (*archive.Archive, error) {
	spec := flavor.Base.Archive
	mirrors, err := archive.ChooseMirrors(archive.MirrorOptions{
		Flags: b.Mirrors, Env: os.Getenv(archive.EnvMirror), Host: os.DirFS("/"), Distribution: flavor.ID,
		Default: archive.Mirrors{
			Main:     archive.Mirror{URL: spec.Mirror, From: "the flavor's default"},
			Security: archive.Mirror{URL: spec.Security, From: "the flavor's default"},
		},
	})
	if err != nil {
		return nil, badInput(err)
	}
	keyring, err := flavor.Keyring()
	if err != nil {
		return nil, err
	}
	b.Log.Info("mirrors", "main", mirrors.Main.URL, "from", mirrors.Main.From, "security", mirrors.Security.URL, "security from", mirrors.Security.From)
	return archive.Open(ctx, archive.Options{
		Sources: sources(spec, mirrors), Components: spec.Components, Arch: arch, Keyring: keyring,
		Cache: filepath.Join(b.stateDir, "archive"), Now: time.Now(), Log: b.Log,
		Parallel: parallel, Transport: archive.NewTransport(parallel, archive.AptProxy(os.DirFS("/"))),
	})
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

// resolvePackages turns names into packages.
func resolvePackages(a *archive.Archive, c recipes.Choice) (*packageSet, error) {
	set := &packageSet{archive: a, epoch: a.Releases()[0].Date.UTC()}
	for _, list := range c.PackageLists() {
		packages, err := set.find(list)
		if err != nil {
			return nil, fmt.Errorf("flavor %s: %s: %w", c.Flavor.Name, list.Input, err)
		}
		set.lists = append(set.lists, debList{list.Input, packages})
	}
	return set, nil
}

func (s *packageSet) find(list recipes.PackageList) ([]*archive.Package, error) {
	if list.Installed {
		found, err := s.archive.Resolve(archive.Request{Base: []string{"apt"}, Extra: list.Names})
		if err != nil {
			return nil, err
		}
		if s.base == nil { // it is the same for every list
			s.base = found.Base
		}
		return found.Extra, nil
	}
	var found []*archive.Package
	for _, name := range list.Names {
		p, err := unpacked(s.archive, name)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// kernelPrefix begins the names of the packages that hold a kernel. A meta
// package (linux-image-amd64) depends on the newest of them.
const kernelPrefix = "linux-image-"

// unpacked is a package of which only the files are used; for a meta package, it
// is the kernel itself. What they depend on besides (initramfs-tools, kmod) is
// for a classic installation.
func unpacked(a *archive.Archive, name string) (*archive.Package, error) {
	p, err := lookup(a, name)
	if err != nil {
		return nil, err
	}
	for _, group := range p.Depends {
		if name := group[0].Name; strings.HasPrefix(name, kernelPrefix) {
			return lookup(a, name)
		}
	}
	return p, nil
}

func lookup(a *archive.Archive, name string) (*archive.Package, error) {
	p, err := a.Lookup(name)
	if err == nil && p == nil {
		return nil, fmt.Errorf("%w %s: no suite of the archive has it", archive.ErrUnknownPackage, name)
	}
	return p, err
}

// sources are the set as inputs, for an empty root.
func (s *packageSet) sources() []inputs.Source {
	all := []inputs.Source{{Name: recipes.InputBase, Key: archive.Lock(s.base), Write: s.writeBase}}
	for _, list := range s.lists {
		all = append(all, s.debs(list))
	}
	return all
}

// sourcesOn are the set as inputs, for a root that has packages: what it lacks
// of the base goes in with the flavor's.
func (s *packageSet) sourcesOn(installed map[string]string) []inputs.Source {
	var all []inputs.Source
	for _, list := range s.lists {
		if list.input == recipes.InputPackages {
			list.packages = missing(slices.Concat(s.base, list.packages), installed)
		}
		all = append(all, s.debs(list))
	}
	return all
}

// writeBase unpacks the base packages into a layer.
func (s *packageSet) writeBase(ctx context.Context, w io.Writer, report inputs.Report) error {
	paths, err := s.fetch(ctx, s.base, report)
	if err != nil {
		return err
	}
	list := make([]bootstrap.Package, len(s.base))
	for i, p := range s.base {
		list[i] = bootstrap.Package{Path: paths[i], Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256}
	}
	_, err = bootstrap.Write(ctx, w, list, bootstrap.Options{Epoch: s.epoch, UsrMerge: true})
	return err
}

// debs is a layer with packages as they are, and their order.
func (s *packageSet) debs(list debList) inputs.Source {
	write := func(ctx context.Context, w io.Writer, report inputs.Report) error {
		paths, err := s.fetch(ctx, list.packages, report)
		if err != nil {
			return err
		}
		files := []inputs.File{{Path: "batches", Mode: 0o644, Data: batchList(list.packages)}}
		for i, p := range list.packages {
			files = append(files, inputs.File{Path: debName(p), Mode: 0o644, From: paths[i]})
		}
		return inputs.Tree(w, files, s.epoch)
	}
	return inputs.Source{Name: list.input, Key: archive.Lock(list.packages), Write: write}
}

func (s *packageSet) fetch(ctx context.Context, packages []*archive.Package, report inputs.Report) ([]string, error) {
	return s.archive.Fetch(ctx, packages, func(p archive.Progress) { report(p.Done, p.Total) })
}
