// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// choose reads the files that are added to the flavor, and makes the choice.
func (b *build) choose(flavor *flavors.Flavor) (err error) {
	overlays := slices.Clone(flavor.Added.Overlays)
	for _, dir := range b.Overlays {
		overlays = append(overlays, flavors.Overlay{Dir: dir})
	}
	var filesErr error
	b.files, filesErr = site.Read(overlays, b.Files)
	o := b.recipeOptions()
	b.choice, err = recipes.Choose(flavor, o)
	return errors.Join(filesErr, err)
}

// recipeOptions are the options of the recipe.
func (b *build) recipeOptions() recipes.Options {
	o := b.Options.recipe()
	o.HasFiles = len(b.files) > 0
	return o
}

// siteInput is the input with the files and commands that are added to the flavor, if there
// are any.
func (b *build) siteInput() ([]inputs.Source, error) {
	var files []inputs.File
	for _, f := range b.files {
		f.Path = path.Join(recipes.SiteFiles, f.Path)
		files = append(files, f)
	}
	for i, command := range b.choice.Commands() {
		name := path.Join(recipes.SiteCommands, fmt.Sprintf("%04d", i+1))
		files = append(files, inputs.File{Path: name, Mode: 0o644, Data: []byte(command + "\n")})
	}
	if files == nil {
		return nil, nil
	}
	tree, err := b.tree(recipes.InputSite, files)
	return []inputs.Source{tree}, err
}

// checkRemoved finds packages that the flavor removes and that others still need.
func (b *build) checkRemoved(set *packages.Set) error {
	var errs []error
	for _, name := range b.choice.Flavor.Added.Removed {
		for _, l := range set.Lists {
			if !slices.Contains([]string{recipes.InputBase, recipes.InputPackages, recipes.InputSitePackages}, l.Input) {
				continue
			}
			if slices.ContainsFunc(l.Packages, func(p packages.Package) bool { return p.Name == name }) {
				at := cmp.Or(b.choice.Flavor.Place("packages.remove", name), b.Flavor)
				errs = append(errs, fmt.Errorf("%s: packages.remove: %q is in the image still, because another package needs it or it is essential: remove that one, too, or take %s from the list", at, name, name))
			}
		}
	}
	return errors.Join(errs...)
}

// added are the additions to the flavor, for the evidence.
func (b *build) added() (evidence.Added, error) {
	f := b.choice.Flavor.Added
	a := evidence.Added{Packages: slices.Concat(f.Packages, b.Packages), Removed: f.Removed, Run: b.choice.Commands()}
	for _, file := range b.files {
		if file.Dir {
			continue
		}
		one := evidence.AddedFile{Path: "/" + file.Path, Link: file.Link}
		if file.Link == "" {
			var err error
			if one.SHA256, err = hashFile(file.From); err != nil {
				return a, err
			}
		}
		a.Files = append(a.Files, one)
	}
	slices.SortFunc(a.Files, func(a, b evidence.AddedFile) int { return cmp.Compare(a.Path, b.Path) })
	return a, nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}
