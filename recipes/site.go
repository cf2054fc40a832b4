// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
)

// Names of the inputs of what somebody adds to a flavor.
const (
	InputSitePackages = "site-packages" // /: packages on top of InputPackages, with their batches
	InputSite         = "site"          // SiteFiles and SiteCommands
)

// What is in InputSite.
const (
	SiteFiles    = "files"    // a tree that is copied into the root
	SiteCommands = "commands" // files 0001, 0002, … with a command of sh(1) each
)

// sitePackages are the packages that are installed on top of those of the flavor, sorted.
func (c Choice) sitePackages() []string {
	own := c.packages()
	return slices.DeleteFunc(unique(named(c.Flavor.ArchName(c.Arch), c.Flavor.Added.Packages), c.Packages), func(name string) bool { return slices.Contains(own, name) })
}

// Commands run in the root, in this order.
func (c Choice) Commands() []string { return slices.Concat(c.Flavor.Added.Run, c.Run) }

// addSite puts in the layers of what is added to the flavor. Packages are a layer on top of
// the flavor's, and files and commands one on top of the finished system: a node downloads
// only these again when they alone changed.
func (c Choice) addSite(list []Layer) []Layer {
	if len(c.sitePackages()) > 0 {
		list = insertAfter(list, "packages", sitePackagesOver(list))
		rejoin(list, "root", "packages", "site-packages")
	}
	if c.HasFiles || len(c.Commands()) > 0 {
		list = insertAfter(list, "system", Layer{
			Name: "site", Title: "site: copy files, run commands",
			Root: layer("system"), Mounts: []Mount{{"/kairos-site", input(InputSite)}},
			Command: []string{"site", "--files", "/kairos-site/" + SiteFiles, "--commands", "/kairos-site/" + SiteCommands},
		})
		rejoin(list, "image", "system", "site")
	}
	return list
}

// sitePackagesOver is the layer packages once more, with other packages, on top of it.
func sitePackagesOver(list []Layer) Layer {
	l := list[slices.IndexFunc(list, func(l Layer) bool { return l.Name == "packages" })]
	l.Name, l.Title, l.Root = "site-packages", "site: install packages", layer("packages")
	l.Mounts = slices.Clone(l.Mounts)
	l.Mounts[0].From = input(InputSitePackages)
	return l
}

func insertAfter(list []Layer, name string, l Layer) []Layer {
	at := slices.IndexFunc(list, func(l Layer) bool { return l.Name == name })
	return slices.Insert(list, at+1, l)
}

// rejoin makes a layer of another source than before.
func rejoin(list []Layer, name, from, to string) {
	for i, l := range list {
		if l.Name == name {
			list[i].Join = slices.Clone(l.Join)
			list[i].Join[slices.Index(l.Join, layer(from))] = layer(to)
		}
	}
}

// Place is where the file of the flavor names a package of an input, such as
// site/flavor.yaml:9:7, or the flag for a package of the options; it may be empty.
func (c Choice) Place(input, name string) string {
	model := "models." + c.Model + "."
	for _, list := range map[string][]string{
		InputPackages: {"packages", model + "packages", "base.archive.base_packages"}, InputTools: {"tools", "boot." + c.Arch + ".tools"}, InputKernel: {model + "kernel"},
		InputBootloader: {"boot." + c.Arch + ".packages"}, InputSitePackages: {"packages.add"},
	}[input] {
		for _, written := range []string{name, strings.ReplaceAll(name, c.Flavor.ArchName(c.Arch), flavors.ArchMark)} {
			if at := c.Flavor.Place(list, written); at != "" {
				return at
			}
		}
	}
	if input == InputSitePackages && slices.Contains(c.Packages, name) {
		return "--package " + name
	}
	return ""
}
