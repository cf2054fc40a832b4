// SPDX-License-Identifier: Apache-2.0

// facts checks the names of packages and the paths of files in the flavors of rpm
// distributions against recorded facts about the releases, which NAME.yaml beside this program
// has: each with its source and the day of the source. A fact may be unconfirmed; then the
// table says so.
//
// Usage:
//
//	go run ./ci/facts                  prints what is confirmed, by flavor
//	go run ./ci/facts -refresh rocky-9 reads the distribution's own archive, and rewrites
//	                                   ci/facts/rocky-9.yaml
//
// -mirror ID=URL replaces the address of a repository.
package main

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/flavors"
)

//go:embed *.yaml
var recorded embed.FS

// unconfirmed is the source of a name that no source confirms.
const unconfirmed = "unconfirmed"

// Facts are what is known of a release.
type Facts struct {
	// Sources are where facts come from, by their names.
	Sources map[string]Source `yaml:"sources"`
	// Packages and Files are the names and paths of the flavor, with the name of a source, or
	// unconfirmed.
	Packages map[string]string `yaml:"packages"`
	Files    map[string]string `yaml:"files"`
}

// A Source is something that can be read again.
type Source struct {
	From string `yaml:"from"`
	Date string `yaml:"date,omitempty"` // of the source, as 2006-01-02
	Read string `yaml:"read,omitempty"` // the day on which it was read, where the source has no date
	// About is the release that the source is about, if it is a close relative.
	About string `yaml:"about,omitempty"`
}

// read reads the facts of a flavor.
func read(name string) (Facts, error) {
	data, err := recorded.ReadFile(name + ".yaml")
	if err != nil {
		return Facts{}, fmt.Errorf("no facts about %s are recorded: go run ./ci/facts -refresh %s, on a machine that reaches its archive", name, name)
	}
	return parse(name, data)
}

func parse(name string, data []byte) (f Facts, err error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("the facts about %s: %w", name, err)
	}
	return f, nil
}

// names are the packages and the paths of files that a flavor has.
func names(f *flavors.Flavor) (packages, files []string) {
	lists := [][]string{f.Packages, f.Tools, f.Base.Archive.BasePackages}
	for _, m := range f.Models {
		lists = append(lists, m.Kernel, m.Packages)
	}
	for _, b := range f.Boot {
		lists = append(lists, b.Packages)
		files = append(files, b.Shim, b.MokManager, b.Grub)
		if b.BIOSModules != "" {
			files = append(files, b.BIOSModules+"/boot.img")
		}
	}
	packages = slices.Concat(lists...)
	slices.Sort(packages)
	slices.Sort(files)
	return slices.Compact(packages), slices.Compact(files)
}

// check says what is wrong with the facts about a flavor: names without a fact, facts about
// nothing, and sources that are not described.
func (f Facts) check(flavor *flavors.Flavor) (wrong []string) {
	packages, files := names(flavor)
	for _, list := range []struct {
		what   string
		names  []string
		facts  map[string]string
		prefix string
	}{{"package", packages, f.Packages, ""}, {"file", files, f.Files, ""}} {
		for _, name := range list.names {
			if list.facts[name] == "" {
				wrong = append(wrong, fmt.Sprintf("the %s %s of the flavor has no fact", list.what, name))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(list.facts)) {
			if !slices.Contains(list.names, name) {
				wrong = append(wrong, fmt.Sprintf("the flavor has no %s %s any more", list.what, name))
			}
			if source := list.facts[name]; source != unconfirmed && f.Sources[source] == (Source{}) {
				wrong = append(wrong, fmt.Sprintf("%s: the source %q is not described", name, source))
			}
		}
	}
	return wrong
}

// missing are the names that no source confirms, sorted.
func (f Facts) missing() (all []string) {
	for _, facts := range []map[string]string{f.Packages, f.Files} {
		for name, source := range facts {
			if source == unconfirmed {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// rpmFlavors are the names of the flavors of rpm distributions.
func rpmFlavors() (all []*flavors.Flavor, _ error) {
	for _, name := range flavors.Names() {
		f, err := flavors.Load(name)
		if err != nil {
			return nil, err
		}
		if len(f.Base.Archive.Repositories) > 0 {
			all = append(all, f)
		}
	}
	return all, nil
}
