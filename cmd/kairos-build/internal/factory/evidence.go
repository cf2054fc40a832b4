// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/kubernetes"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/rootfs/payload"
	"github.com/kairos-build/kairos-build/recipes"
)

// origins are what an image was made from, as the steps of the build found it.
type origins struct {
	archive  packages.Facts
	base     *recipes.BaseImage
	programs []evidence.Program
	inputs   []evidence.Resource
	graph    string // sha256:<hex> of the definition
	hermetic bool   // no step of the graph has a network
}

// program adds one of our programs.
func (o *origins) program(name string, data []byte) {
	places := map[string]string{payload.Agent: "/usr/bin/" + payload.Agent, payload.Init: "/init in " + layout.ImageInitrd}
	o.programs = append(o.programs, evidence.ReadProgram(name, places[name], data))
}

// addEvidence writes the bills of materials and the provenance.
func (b *build) addEvidence(_ context.Context, image *madeImage, r *Result) error {
	return b.step("evidence: SBOM and provenance", func(progress.Step) (bool, error) {
		installed, err := b.installed(image.root)
		if err != nil {
			return false, err
		}
		facts := b.facts(image, installed)
		if facts.Added, err = b.added(); err != nil {
			return false, err
		}
		documents, err := evidence.Make(facts)
		if err != nil {
			return false, fmt.Errorf("making the evidence of %s: %w", image.Digest, err)
		}
		for _, d := range documents {
			if err := os.WriteFile(b.out.staged(d.Name), d.Data, 0o644); err != nil {
				return false, fmt.Errorf("writing %s: %w", d.Name, err)
			}
			r.Evidence = append(r.Evidence, Evidence{
				Path: d.Name, PredicateType: d.Predicate, MediaType: d.MediaType, Size: int64(len(d.Data)), Digest: d.Digest(),
			})
		}
		return false, nil
	})
}

// installed reads the package database of the root image.
func (b *build) installed(root *rootImage) (all []packages.Installed, err error) {
	name := b.packages.Database()
	err = root.read(func(files fs.FS) error {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("reading which packages the image has: %w", err)
		}
		all, err = b.packages.Installed(data)
		return err
	})
	return all, err
}

// facts are the facts of the build that do not depend on where it runs.
func (b *build) facts(image *madeImage, installed []packages.Installed) evidence.Facts {
	f := b.choice.Flavor
	return evidence.Facts{
		Flavor: f.Name, FlavorFile: f.Digest(), Extended: extended(f), Hermetic: b.origins.hermetic, Title: f.Title, Distribution: f.ID, Release: f.Release, Version: b.recipe.Version,
		Arch: b.recipe.Arch, Model: b.recipe.Model, MountPoints: b.MountPoints,
		Image: image.Digest, RootHash: image.RootHash, Created: b.recipe.Epoch, Builder: b.Maker,
		PackageType: b.packages.Type(), Installed: installed, Archive: b.origins.archive, Kernel: b.origins.kernel(),
		Programs: b.origins.programs, Kubernetes: kubernetesFacts(b.release), Base: b.origins.baseResource(),
		Lock: b.locked.digestText(), Inputs: b.origins.inputs, Graph: b.origins.graph, Steps: b.recipe.Titles(),
	}
}

// extended are the files of the flavors that a flavor extends.
func extended(f *flavors.Flavor) (all []evidence.Resource) {
	files := f.Sources()
	for _, s := range files[:len(files)-1] {
		all = append(all, evidence.Named("flavor "+s.Name, s.Digest))
	}
	return all
}

// kernel are the names of the packages with the kernel.
func (o *origins) kernel() []string {
	var names []string
	for _, list := range o.archive.Lists {
		if list.Input == recipes.InputKernel {
			for _, p := range list.Packages {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

func (o *origins) baseResource() *evidence.Resource {
	if o.base == nil {
		return nil
	}
	r := evidence.Named("base image", o.base.Digest)
	r.URI = o.base.Name
	return &r
}

func kubernetesFacts(r *kubernetes.Release) *evidence.Kubernetes {
	if r == nil {
		return nil
	}
	k := &evidence.Kubernetes{Name: string(r.Version.Distribution()), Version: r.Version.String(), Program: fileFacts(r.Program)}
	if r.Images != nil {
		images := fileFacts(*r.Images)
		k.Images = &images
	}
	return k
}

// fileFacts leaves out an address that is a path on this machine.
func fileFacts(f kubernetes.File) evidence.File {
	file := evidence.File{Name: f.Name, URL: lockedAddress(f.URL), SHA256: f.SHA256}
	if strings.HasPrefix(file.URL, "file:") {
		file.URL = ""
	}
	return file
}
