// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/bootstrap"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// A packageSet is everything that an image takes from the archive.
type packageSet struct {
	archive    *archive.Archive
	base       []*archive.Package // essential, required, and apt
	packages   []*archive.Package // the flavor's and the model's
	tools      []*archive.Package // for the steps of the graph, not shipped
	kernel     []*archive.Package // unpacked, not installed
	bootloader []*archive.Package // unpacked, not installed
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
		Cache: filepath.Join(b.stateDir, "archive"), Now: time.Now(), Log: b.Log, Progress: b.downloads.report,
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

// resolvePackages turns a recipe's names into packages.
func resolvePackages(a *archive.Archive, recipe *recipes.Recipe) (*packageSet, error) {
	main, err := a.Resolve(archive.Request{Base: []string{"apt"}, Extra: recipe.Packages()})
	if err != nil {
		return nil, fmt.Errorf("flavor %s: %w", recipe.Flavor.Name, err)
	}
	tools, err := a.Resolve(archive.Request{Base: []string{"apt"}, Extra: recipe.Tools()})
	if err != nil {
		return nil, fmt.Errorf("flavor %s: tools: %w", recipe.Flavor.Name, err)
	}
	set := &packageSet{archive: a, base: main.Base, packages: main.Extra, tools: tools.Extra}
	if set.kernel, err = kernelPackages(a, recipe.Kernel()); err != nil {
		return nil, fmt.Errorf("flavor %s: kernel: %w", recipe.Flavor.Name, err)
	}
	set.bootloader, err = lookupAll(a, recipe.Bootloader())
	if err != nil {
		return nil, fmt.Errorf("flavor %s: boot loader: %w", recipe.Flavor.Name, err)
	}
	return set, nil
}

// kernelPrefix begins the names of the packages that hold a kernel. A meta
// package (linux-image-amd64) depends on the newest of them.
const kernelPrefix = "linux-image-"

// kernelPackages follows meta packages to the kernel itself. Other
// dependencies (initramfs-tools, kmod) are for a classic installation.
func kernelPackages(a *archive.Archive, names []string) ([]*archive.Package, error) {
	roots, err := lookupAll(a, names)
	if err != nil {
		return nil, err
	}
	var found []*archive.Package
	for _, root := range roots {
		actual, err := kernelOf(a, root)
		if err != nil {
			return nil, err
		}
		found = append(found, actual)
	}
	return found, nil
}

func kernelOf(a *archive.Archive, p *archive.Package) (*archive.Package, error) {
	for _, group := range p.Depends {
		if name := group[0].Name; strings.HasPrefix(name, kernelPrefix) {
			return lookup(a, name)
		}
	}
	return p, nil
}

func lookupAll(a *archive.Archive, names []string) ([]*archive.Package, error) {
	var found []*archive.Package
	for _, name := range names {
		p, err := lookup(a, name)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

func lookup(a *archive.Archive, name string) (*archive.Package, error) {
	p, err := a.Lookup(name)
	if err == nil && p == nil {
		return nil, fmt.Errorf("%w %s: no suite of the archive has it", archive.ErrUnknownPackage, name)
	}
	return p, err
}

// epoch is the date of the first suite, the release itself: it moves with a
// point release, not with every security update. No file of the image is newer.
func epoch(a *archive.Archive) time.Time { return a.Releases()[0].Date.UTC() }

// writeBase unpacks the base packages into a layer.
func (s *packageSet) writeBase(ctx context.Context, w io.Writer, at time.Time) error {
	paths, err := s.archive.Fetch(ctx, s.base)
	if err != nil {
		return err
	}
	list := make([]bootstrap.Package, len(s.base))
	for i, p := range s.base {
		list[i] = bootstrap.Package{Path: paths[i], Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256}
	}
	_, err = bootstrap.Write(ctx, w, list, bootstrap.Options{Epoch: at, UsrMerge: true})
	return err
}

// writeDebs puts packages into a layer as they are, with their order.
func (s *packageSet) writeDebs(ctx context.Context, w io.Writer, packages []*archive.Package, at time.Time) error {
	paths, err := s.archive.Fetch(ctx, packages)
	if err != nil {
		return err
	}
	files := []inputs.File{{Path: "batches", Mode: 0o644, Data: batchList(packages)}}
	for i, p := range packages {
		files = append(files, inputs.File{Path: debName(p), Mode: 0o644, From: paths[i]})
	}
	return inputs.Tree(w, files, at)
}

// downloads shows the bytes of a Fetch in whichever step is running.
type downloads struct{ step progress.Step }

func (d *downloads) report(p archive.Progress) {
	if d.step != nil {
		d.step.Progress(p.Done, p.Total)
	}
}
