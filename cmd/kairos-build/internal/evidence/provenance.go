// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"maps"
	"path"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// buildType names the way in which images are made; docs/evidence.md describes it.
const buildType = home + "/build/flavor/v1"

// A provenance is the predicate of SLSA v1. It has no times of a run and no number of it:
// the same build gives the same provenance.
type provenance[External, Internal any] struct {
	BuildDefinition definition[External, Internal] `json:"buildDefinition"`
	RunDetails      runDetails                     `json:"runDetails"`
}

type definition[External, Internal any] struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   External   `json:"externalParameters"`
	InternalParameters   Internal   `json:"internalParameters"`
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// An imageProvenance is that of an image.
type imageProvenance = provenance[parameters, internals]

// parameters are what the user chose.
type parameters struct {
	Flavor       string   `json:"flavor"`
	Version      string   `json:"version"`
	Architecture string   `json:"architecture"`
	Model        string   `json:"model"`
	Kubernetes   string   `json:"kubernetes,omitempty"`
	Airgap       bool     `json:"airgap,omitempty"`
	Base         string   `json:"base,omitempty"` // digest
	MountPoints  []string `json:"mountPoints,omitempty"`
	Locked       bool     `json:"locked"`
	// The rest are additions to the flavor, or to the one that it extends.
	Packages []string `json:"packages,omitempty"`
	Removed  []string `json:"removedPackages,omitempty"`
	Files    []string `json:"files,omitempty"` // paths in the image
	Run      []string `json:"run,omitempty"`
}

// internals are what follows from the parameters and the dependencies.
type internals struct {
	SourceDateEpoch int64             `json:"sourceDateEpoch"`
	Graph           string            `json:"graph"`     // digest of BuildKit's definition
	Steps           []string          `json:"steps"`     // of the graph
	Hermetic        bool              `json:"hermetic"`  // no step has a network; all inputs are in the dependencies
	Snapshots       map[string]string `json:"snapshots"` // by archive: when its history has all packages
	RootHash        string            `json:"verityRootHash"`
}

type runDetails struct {
	Builder  builder  `json:"builder"`
	Metadata struct{} `json:"metadata"`
}

type builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// provenance says how the image was made. The cloud-configs of a disk are not in it: they
// are not in the image, and their digests could be guessed.
func (f Facts) provenance() statement {
	p := imageProvenance{
		BuildDefinition: definition[parameters, internals]{
			BuildType:            buildType,
			ExternalParameters:   f.parameters(),
			InternalParameters:   internals{SourceDateEpoch: f.Created.Unix(), Graph: f.Graph, Steps: f.Steps, Hermetic: f.Hermetic, Snapshots: f.snapshots(), RootHash: f.RootHash},
			ResolvedDependencies: f.materials(),
		},
		RunDetails: runDetails{Builder: f.builder()},
	}
	return statement{Type: statementType, Subject: subject(f.Flavor, f.Image), PredicateType: ProvenanceType, Predicate: p}
}

func (f Facts) parameters() parameters {
	p := parameters{Flavor: f.Flavor, Version: f.Version, Architecture: f.Arch, Model: f.Model, MountPoints: f.MountPoints, Locked: f.Lock != ""}
	if k := f.Kubernetes; k != nil {
		p.Kubernetes, p.Airgap = k.Version, k.Images != nil
	}
	p.Packages, p.Removed, p.Run = f.Added.Packages, f.Added.Removed, f.Added.Run
	for _, file := range f.Added.Files {
		p.Files = append(p.Files, file.Path)
	}
	if f.Base != nil {
		p.Base = "sha256:" + f.Base.Digest["sha256"]
	}
	return p
}

func (f Facts) snapshots() map[string]string {
	times := map[string]string{}
	for archive, at := range f.Archive.Snapshots {
		times[archive] = at.UTC().Format(time.RFC3339)
	}
	return times
}

// builder is this program. A remote engine does not say which version it is.
func (f Facts) builder() builder {
	b := builder{ID: home, Version: map[string]string{"kairos-build": f.Builder.Version}}
	for name, version := range map[string]string{"go": f.Builder.Go, "buildkit": f.Builder.Engine} {
		if version != "" && (name != "buildkit" || !f.Builder.Remote) {
			b.Version[name] = version
		}
	}
	return b
}

// materials is everything that the image was made from: the flavor, the lock, the signed
// files of the archive and its mirror, the base image, each package, the files of Kubernetes, our programs, and the
// inputs of the graph, which are made from these.
func (f Facts) materials() []Resource {
	var all []Resource
	if f.FlavorFile != "" {
		all = append(all, Named("flavor", f.FlavorFile))
	}
	all = append(all, f.Extended...)
	if f.Lock != "" {
		all = append(all, Named("lock", f.Lock))
	}
	for _, i := range f.Archive.Indexes {
		all = append(all, indexMaterial(i))
	}
	if f.Base != nil {
		all = append(all, *f.Base)
	}
	all = append(all, f.packageMaterials()...)
	if k := f.Kubernetes; k != nil {
		all = append(all, fileMaterial(k.Program))
		if k.Images != nil {
			all = append(all, fileMaterial(*k.Images))
		}
	}
	for _, file := range f.Added.Files {
		if file.SHA256 != "" {
			all = append(all, Named("file "+file.Path, "sha256:"+file.SHA256))
		}
	}
	for _, p := range f.Programs {
		all = append(all, Resource{Name: p.Name, URI: f.programPURL(p.Name).String(), Digest: map[string]string{"sha256": p.SHA256}})
	}
	return append(all, f.Inputs...)
}

func indexMaterial(i packages.Index) Resource {
	return Resource{
		Name: "index " + i.Archive + " " + i.Suite, URI: i.URL, Digest: map[string]string{"sha256": i.SHA256},
		Annotations: map[string]any{"date": i.Date.UTC().Format(time.RFC3339), "key": i.Key, "fingerprint": i.Fingerprint},
	}
}

func fileMaterial(f File) Resource {
	return Resource{Name: f.Name, URI: f.URL, Digest: map[string]string{"sha256": f.SHA256}}
}

// packageMaterials are the packages that the build took from the archive, also those that
// helped to build and are not in the image. Each has the inputs that it is in.
func (f Facts) packageMaterials() []Resource {
	type material struct {
		packages.Package
		inputs []any
	}
	found := map[string]*material{}
	for _, list := range f.Archive.Lists {
		for _, p := range list.Packages {
			id := f.packagePURL(p.Name, p.Version, p.Arch).String()
			if found[id] == nil {
				found[id] = &material{Package: p}
			}
			found[id].inputs = append(found[id].inputs, list.Input)
		}
	}
	var all []Resource
	for _, id := range slices.Sorted(maps.Keys(found)) {
		m := found[id]
		all = append(all, Resource{
			Name: path.Base(m.Path), URI: id, Digest: map[string]string{"sha256": m.SHA256},
			Annotations: map[string]any{"archive": m.Archive, "path": m.Path, "inputs": m.inputs},
		})
	}
	return all
}
