// SPDX-License-Identifier: Apache-2.0

// Package recipes says how a flavor is made: a recipe is a pure function from
// a flavor, a lock and options to a BuildKit graph. It uses no clock, no network
// and no daemon, so it is tested by marshalling it.
//
// A recipe is a list of named layers (see layers) over named inputs:
//
//	          base ──────────────┬── packages ──┐
//	(archive, configured)        │              │
//	                           tools ─┬─ kernel ┼─ initramfs ─┐
//	                                  └─ bootloader ───────────┼─ finalise ─┐
//	                              framework ───────────────────┘            ├─ image
//	                              release ──────────────────────────────────┤
//	                              parts ────────────────────────────────────┘
//
// What somebody adds to a flavor is in two more layers: packages above packages, and files
// and commands above finalise (see addSite).
//
// The families of rpm packages have a toolbox besides, the root that rpm runs in (see rpm).
//
// Each box is a layer of its own where the content model allows it. A new agent
// re-runs only finalise. A new kernel re-runs neither packages nor boot loader. A
// new version re-runs nothing. Parts, such as Kubernetes, are optional (see parts).
package recipes

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Options are what a user can choose about a flavor.
type Options struct {
	Arch    string // GOARCH of the image; default amd64
	Model   string // one of the flavor's models; default generic
	Version string // version of the result, with a leading v
	// MountPoints are directories that are made in the root, besides those of
	// the flavor: a node cannot make them.
	MountPoints []string
	Kubernetes  release.Distribution // default none
	Packages    []string             // installed besides those of the flavor
	Run         []string             // commands, after those of the flavor
	HasFiles    bool                 // InputSite has files
	// Policy is layout.ImagePolicy with the files that it names. None: the image has no
	// policy, and its nodes trust no other image.
	Policy []File
}

// A Choice is a flavor with every option chosen. It decides which packages a
// recipe needs.
type Choice struct {
	Flavor *flavors.Flavor
	Options
	model flavors.Model
	boot  flavors.Boot
}

// Choose checks the options against the flavor. The error says what is possible
// instead, and names every mount point that is not.
func Choose(flavor *flavors.Flavor, o Options) (Choice, error) {
	o.Arch, o.Model = cmp.Or(o.Arch, "amd64"), cmp.Or(o.Model, "generic")
	if families()[flavor.Family] == nil {
		return Choice{}, fmt.Errorf("flavor %s: no recipe for the package manager family %q", flavor.Name, flavor.Family)
	}
	boot, ok := flavor.Boot[o.Arch]
	if !ok {
		return Choice{}, fmt.Errorf("flavor %s is not made for architecture %q: it is for %s", flavor.Name, o.Arch, strings.Join(flavor.Arches(), ", "))
	}
	model, ok := flavor.Models[o.Model]
	if !ok {
		return Choice{}, fmt.Errorf("flavor %s has no model %q: it has %s", flavor.Name, o.Model, strings.Join(slices.Sorted(maps.Keys(flavor.Models)), ", "))
	}
	arch := flavor.ArchName(o.Arch)
	for _, list := range []*[]string{&model.Kernel, &model.Packages, &boot.Packages, &boot.Tools} {
		*list = named(arch, *list)
	}
	model.Cmdline = strings.TrimSpace(boot.Cmdline + " " + model.Cmdline)
	c := Choice{flavor, o, model, boot}
	var errs []error
	for _, dir := range c.mountPoints() {
		errs = append(errs, checkMountPoint(dir))
	}
	return c, errors.Join(errs...)
}

// named puts the name of an architecture into names of packages.
func named(arch string, names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		names[i] = strings.ReplaceAll(name, flavors.ArchMark, arch)
	}
	return names
}

// Cmdline is the kernel command line of the image.
func (c Choice) Cmdline() string { return c.model.Cmdline }

// A PackageList is the packages of one input.
type PackageList struct {
	Input string   // its name
	Names []string // sorted
	// Installed packages come with the dependencies that the base lacks. Of other
	// packages only the files are used.
	Installed bool
	// Over is the input that these packages are on top of; empty: the base. They come
	// without what it has.
	Over string
	// Place is where a name is written, such as site/flavor.yaml:9:7, or empty.
	Place func(name string) string
}

// packages are those of the flavor and the model.
func (c Choice) packages() []string {
	return slices.Concat(named(c.Flavor.ArchName(c.Arch), c.Flavor.Packages), c.model.Packages)
}

// PackageLists are the packages that a recipe needs besides its base.
func (c Choice) PackageLists() []PackageList {
	lists := []PackageList{
		{Input: InputPackages, Names: unique(c.packages()), Installed: true},
		{Input: InputTools, Names: unique(named(c.Flavor.ArchName(c.Arch), c.Flavor.Tools), c.boot.Tools), Installed: true},
		{Input: InputKernel, Names: unique(c.model.Kernel)},
		{Input: InputBootloader, Names: unique(c.boot.Packages)},
	}
	if names := c.sitePackages(); len(names) > 0 {
		lists = append(lists, PackageList{Input: InputSitePackages, Names: names, Installed: true, Over: InputPackages})
	}
	for i, l := range lists {
		lists[i].Place = func(name string) string { return c.Place(l.Input, name) }
	}
	return lists
}

// A Lock is the exact state that a build found for a flavor.
type Lock struct {
	Epoch      time.Time       // no file of the image is newer
	Base       BaseImage       // the base of the root; zero: the archive's base packages
	Kubernetes release.Version // of the distribution of the options; zero: none
}

// A BaseImage is the image that another image was made from.
type BaseImage struct {
	Name   string // as a registry knows it; empty for a folder or a file
	Digest string // of its manifest, sha256:<hex>
}

// String is name@digest, or the digest alone.
func (b BaseImage) String() string {
	if b.Name == "" {
		return b.Digest
	}
	return b.Name + "@" + b.Digest
}

// A Recipe is complete: with the same inputs it gives the same image.
type Recipe struct {
	Choice
	Lock
	Layers []Layer // each after the layers that it is made from; the last is the image
}

// Resolve makes the recipe of a flavor.
func Resolve(flavor *flavors.Flavor, lock Lock, o Options) (Recipe, error) {
	c, err := Choose(flavor, o)
	if err != nil {
		return Recipe{}, err
	}
	if lock.Kubernetes.Distribution() != c.Kubernetes {
		return Recipe{}, fmt.Errorf("BUG: flavor %s: %q of the lock is not the %q of the options", flavor.Name, lock.Kubernetes, c.Kubernetes)
	}
	return Recipe{c, lock, layers(families()[flavor.Family](c, lock), c, parts(c))}, nil
}

func unique(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// A File is one file of the uppermost layer, mode 0644, or a link, or a
// directory, mode 0755.
type File struct {
	Path string // relative
	Data []byte
	Link string // target of a symbolic link
	Dir  bool
}

// ReleaseFiles are the uppermost layer: the files of this version with its policy, and those that
// a build step cannot write because the engine mounts its own over them
// (/etc/hosts, /etc/resolv.conf). They are an input, because file operations of
// the graph give directories the time of the build.
func (r Recipe) ReleaseFiles() []File {
	files := []File{
		{Path: strings.TrimPrefix(layout.ImageRelease, "/"), Data: []byte(r.Release())},
		{Path: strings.TrimPrefix(layout.ImageCmdline, "/"), Data: []byte(r.model.Cmdline + "\n")},
		{Path: "etc/hosts", Data: []byte(hosts)},
		{Path: "etc/resolv.conf", Link: resolver},
	}
	for _, dir := range r.mountPoints() {
		files = append(files, File{Path: dir[1:], Dir: true})
	}
	return append(files, r.Policy...)
}

// hosts is /etc/hosts as Debian's installer writes it. nss-myhostname answers for
// the node's own name.
const hosts = `127.0.0.1	localhost
::1		localhost ip6-localhost ip6-loopback
ff02::1		ip6-allnodes
ff02::2		ip6-allrouters
`

// resolver is systemd-resolved's file, relative to /etc.
const resolver = "../run/systemd/resolve/stub-resolv.conf"
