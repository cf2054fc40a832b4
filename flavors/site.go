// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// Additions are what a flavor has on top of another. Each layer of an image that they make
// is above those of the other flavor, so that a change of them is a small upgrade.
type Additions struct {
	Packages []string  // installed, with their dependencies
	Removed  []string  // taken from the lists of the other flavor
	Overlays []Overlay // copied into the root, in this order
	Run      []string  // commands of sh(1) that run in the root, in this order
}

// An Overlay is a folder whose files are copied into the root.
type Overlay struct {
	Dir string
	// Modes are those of files that are neither 0644 nor 0755, by their relative paths, with
	// the bits of chmod(2).
	Modes map[string]uint32
}

// Defaults are options of a build that a flavor chooses. The flags of the command line win.
type Defaults struct {
	Model        string
	K3s, K0s     string // versions, as --k3s and --k0s take them
	Airgap       bool
	CloudConfigs []string // paths of files
	Registry     string   // REGISTRY/NAME of the images
}

// siteFile is the file of a flavor that extends another.
type siteFile struct {
	Name         string            `yaml:"name" rule:"required,name"`
	Title        string            `yaml:"title"`
	Extends      string            `yaml:"extends" rule:"required"`
	Packages     sitePackages      `yaml:"packages"`
	Files        string            `yaml:"files" rule:"inside"`
	Modes        map[string]string `yaml:"modes"`
	Run          []string          `yaml:"run"`
	MountPoints  []string          `yaml:"mount_points" rule:"path"`
	Cmdline      siteCmdline       `yaml:"cmdline"`
	Model        string            `yaml:"model" rule:"name"`
	Kubernetes   siteKubernetes    `yaml:"kubernetes"`
	CloudConfigs []string          `yaml:"cloud_configs" rule:"inside"`
	Registry     string            `yaml:"registry" rule:"repository"`
}

type sitePackages struct {
	Add    []string `yaml:"add" rule:"package"`
	Remove []string `yaml:"remove" rule:"package"`
}

type siteCmdline struct {
	Add    []string `yaml:"add" rule:"word"`
	Remove []string `yaml:"remove" rule:"word"`
}

type siteKubernetes struct {
	K3s    string `yaml:"k3s"`
	K0s    string `yaml:"k0s"`
	Airgap bool   `yaml:"airgap"`
}

// A chain is the files that extend each other, the first first. It finds circles.
type chain []string

// site decodes the file of a flavor that extends another, and adds it to that one. root is
// the file's root; dir is its folder. A mistake is reported at its place in the file.
func (d *decoder) site(root strict.Node, dir string, above chain) *Flavor {
	var s siteFile
	d.value(root, "", reflect.ValueOf(&s).Elem())
	if d.nodes["extends"] == nil || s.Extends == "" {
		return nil
	}
	base := d.extended(s.Extends, dir, above)
	if base == nil {
		return nil
	}
	f := *base // the keys of its archive and their folder stay
	f.Name, f.Title = s.Name, s.Title
	if f.Title == "" {
		f.Title = s.Name + " on " + base.Title
	}
	f.MountPoints = slices.Concat(base.MountPoints, s.MountPoints)
	f.places = maps.Clone(base.places)
	maps.Copy(f.places, d.places)
	d.packages(&f, s.Packages)
	d.cmdline(&f, s.Cmdline)
	d.files(&f, s, dir)
	f.Added.Run = slices.Concat(base.Added.Run, s.Run)
	d.defaults(&f, s, dir)
	return &f
}

// extended opens the flavor that a file extends.
func (d *decoder) extended(ref, dir string, above chain) *Flavor {
	n := d.nodes["extends"]
	if IsPath(ref) {
		if !filepath.IsAbs(ref) {
			ref = filepath.Join(dir, ref)
		}
		ref = filepath.Clean(ownFile(ref))
		if i := slices.Index(above, ref); i >= 0 {
			n.Fail("a circle: "+strings.Join(append(slices.Clone(above[i:]), ref), " extends "), "let the last of them extend a built-in flavor, such as "+Default)
			return nil
		}
		ref = asPath(ref)
	}
	base, err := open(ref, above)
	if err != nil {
		n.Fail(err.Error(), "")
		return nil
	}
	return base
}

// asPath makes sure that a clean relative path is not read as a name.
func asPath(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return "./" + p
}

// packages adds and removes packages.
func (d *decoder) packages(f *Flavor, s sitePackages) {
	f.Added.Packages = slices.Clone(f.Added.Packages)
	f.Added.Removed = slices.Concat(f.Added.Removed, s.Remove)
	f.Models = maps.Clone(f.Models)
	names := f.packageNames()
	for i, name := range s.Remove {
		found := without(&f.Packages, name)
		found = without(&f.Added.Packages, name) || found
		for model, m := range f.Models {
			found = without(&m.Packages, name) || found
			f.Models[model] = m
		}
		switch n := d.nodes[fmt.Sprintf("packages.remove[%d]", i)]; {
		case n == nil: // it has no value, which is reported
		case slices.Contains(s.Add, name):
			n.Fail(fmt.Sprintf("%q is added, too", name), "take it from one of the lists")
		case !found:
			n.Fail(fmt.Sprintf("%q is no package of the flavor that is extended", name), nearest.DidYouMean(name, names))
		}
	}
	f.Added.Packages = append(f.Added.Packages, s.Add...)
}

// packageNames are the packages that can be removed, sorted.
func (f *Flavor) packageNames() []string {
	names := slices.Concat(f.Packages, f.Added.Packages)
	for _, m := range f.Models {
		names = append(names, m.Packages...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// without takes a text from a list, and tells whether it was there. The list of before
// stays as it is: another flavor has it.
func without(list *[]string, text string) bool {
	if !slices.Contains(*list, text) {
		return false
	}
	*list = slices.DeleteFunc(slices.Clone(*list), func(s string) bool { return s == text })
	return true
}

// cmdline changes the kernel command lines of all models and architectures.
func (d *decoder) cmdline(f *Flavor, s siteCmdline) {
	found := map[string]bool{}
	remove := func(line string) []string {
		words := strings.Fields(line)
		for _, word := range s.Remove {
			found[word] = without(&words, word) || found[word]
		}
		return words
	}
	for name, m := range f.Models {
		m.Cmdline = strings.Join(append(remove(m.Cmdline), s.Add...), " ")
		f.Models[name] = m
	}
	f.Boot = maps.Clone(f.Boot)
	for arch, b := range f.Boot {
		b.Cmdline = strings.Join(remove(b.Cmdline), " ")
		f.Boot[arch] = b
	}
	for i, word := range s.Remove {
		if n := d.nodes[fmt.Sprintf("cmdline.remove[%d]", i)]; !found[word] && n != nil {
			n.Fail(fmt.Sprintf("neither a model nor an architecture of the flavor that is extended has the kernel argument %q", word), "")
		}
	}
}

// filesDir is the folder with the files of a flavor, unless the flavor names another.
const filesDir = "files"

// files adds the folder with the files. The folder of the default name may be missing.
func (d *decoder) files(f *Flavor, s siteFile, dir string) {
	o := Overlay{Dir: filepath.Join(dir, filesDir), Modes: map[string]uint32{}}
	if s.Files != "" && !filepath.IsLocal(s.Files) {
		return // it is reported already
	}
	if s.Files != "" {
		o.Dir = filepath.Join(dir, s.Files)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Modes)) {
		n := d.nodes[strict.Below("modes", name)]
		mode, err := strconv.ParseUint(s.Modes[name], 8, 32)
		if err != nil || mode > 0o7777 {
			n.Fail(fmt.Sprintf("%q is not a mode such as \"0600\" or \"4755\"", strict.Printable(s.Modes[name])), "")
		}
		if info, err := os.Lstat(filepath.Join(o.Dir, name)); err != nil || !info.Mode().IsRegular() {
			n.Fail(fmt.Sprintf("%s has no file %s", o.Dir, strict.Printable(name)), "name a file by its path below the folder, such as etc/ssl/private/site.key")
		}
		o.Modes[path.Clean(name)] = uint32(mode)
	}
	info, err := os.Stat(o.Dir)
	switch {
	case err == nil && info.IsDir():
		f.Added.Overlays = append(slices.Clone(f.Added.Overlays), o)
	case s.Files != "":
		d.nodes["files"].Fail(missing(o.Dir, err, "a folder"), "make it, or take the key out")
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		d.nodes["extends"].Fail(missing(o.Dir, err, "a folder"), "")
	}
}

// missing says why a path is not what it must be.
func missing(path string, err error, want string) string {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	if err != nil {
		return "there is no " + path
	}
	return path + " is not " + want
}

// defaults takes over what the file says of the options of a build.
func (d *decoder) defaults(f *Flavor, s siteFile, dir string) {
	o := &f.Default
	if s.Model != "" {
		o.Model = s.Model
		if _, ok := f.Models[s.Model]; !ok {
			d.nodes["model"].Fail(fmt.Sprintf("there is no model %s", s.Model), "there are "+strings.Join(f.ModelNames(), ", "))
		}
	}
	if k := s.Kubernetes; d.nodes["kubernetes"] != nil {
		o.K3s, o.K0s, o.Airgap = k.K3s, k.K0s, k.Airgap
		if (k.K3s == "") == (k.K0s == "") {
			d.nodes["kubernetes"].Fail("an image has k3s or k0s", "write one of them, such as k3s: v1.34")
		}
	}
	o.CloudConfigs = slices.Clone(o.CloudConfigs)
	for i, name := range s.CloudConfigs {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			d.nodes[fmt.Sprintf("cloud_configs[%d]", i)].Fail(missing(file, err, "a file"), "")
		}
		o.CloudConfigs = append(o.CloudConfigs, file)
	}
	if s.Registry != "" {
		o.Registry = s.Registry
	}
}
