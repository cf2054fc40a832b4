// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

// A component is one thing in an image, for both kinds of bills of materials.
type component struct {
	kind          kind
	name, version string
	purl          purl
	sha256        string // of the file that it came in, hex; or empty
	file          string // name of that file
	source        string // the source package, or where the file is from
	note          string // for people
	uses          []string
}

// id identifies the component in its document.
func (c component) id() string { return c.purl.String() }

// A kind says what a component is.
type kind string

const (
	kindPackage    kind = "package" // of the distribution
	kindKernel     kind = "kernel"  // a package, too
	kindProgram    kind = "program" // ours
	kindModule     kind = "module"  // of Go
	kindKubernetes kind = "kubernetes"
	kindImages     kind = "images" // a file with container images
)

// parts are the components of an image.
type parts struct {
	image, system component
	all           []component // sorted by id
}

// components lists everything in the image.
func (f Facts) components() parts {
	p := parts{image: f.imagePart(), system: f.systemPart()}
	p.all = slices.Concat(f.packageParts(), f.programParts(), f.kubernetesParts())
	slices.SortFunc(p.all, func(a, b component) int { return cmp.Compare(a.id(), b.id()) })
	p.all = slices.CompactFunc(p.all, func(a, b component) bool { return a.id() == b.id() })
	return p
}

func (f Facts) imagePart() component {
	return component{
		name: f.Flavor, version: f.Version, sha256: strings.TrimPrefix(f.Image, "sha256:"),
		purl: purl{kind: "oci", name: f.Flavor, version: f.Image, qualifiers: [][2]string{{"arch", f.Arch}}},
	}
}

func (f Facts) systemPart() component {
	return component{
		name: f.Distribution, version: f.Release, note: f.Title,
		purl: purl{kind: "generic", name: f.Distribution, version: f.Release},
	}
}

// packageParts are the packages of the distribution. Those from the archive have the
// digest of their file; those of a base image do not say where they are from.
func (f Facts) packageParts() []component {
	type key struct{ name, version, arch string }
	files := map[key]packages.Package{}
	for _, list := range f.Archive.Lists {
		for _, p := range list.Packages {
			files[key{p.Name, p.Version, p.Arch}] = p
		}
	}
	var all []component
	for _, in := range f.Installed {
		c := component{
			kind: kindPackage, name: in.Name, version: in.Version, note: in.State,
			source: "built from " + in.Source + " " + in.SourceVersion, purl: f.packagePURL(in.Name, in.Version, in.Arch),
		}
		if slices.Contains(f.Kernel, in.Name) {
			c.kind, c.note = kindKernel, "the kernel"
		}
		if p, ok := files[key{in.Name, in.Version, in.Arch}]; ok {
			c.sha256, c.file = p.SHA256, path.Base(p.Path)
		}
		all = append(all, c)
	}
	return all
}

func (f Facts) packagePURL(name, version, arch string) purl {
	return purl{
		kind: f.PackageType, namespace: f.Distribution, name: name, version: version,
		qualifiers: [][2]string{{"arch", arch}, {"distro", f.Distribution + "-" + f.Release}},
	}
}

// programParts are our programs in the image, with the Go modules in them.
func (f Facts) programParts() []component {
	modules := map[string]component{}
	var all []component
	for _, p := range f.Programs {
		if p.Place == "" {
			continue
		}
		c := component{kind: kindProgram, name: p.Name, version: f.Builder.Version, sha256: p.SHA256, file: p.Name, note: p.Place, purl: f.programPURL(p.Name)}
		for _, m := range p.modules() {
			part := component{kind: kindModule, name: m.Path, version: m.Version, purl: modulePURL(m.Path, m.Version)}
			modules[part.id()] = part
			c.uses = append(c.uses, part.id())
		}
		slices.Sort(c.uses)
		all = append(all, c)
	}
	return slices.AppendSeq(all, maps.Values(modules))
}

func (f Facts) programPURL(name string) purl {
	p := modulePURL(strings.TrimPrefix(home, "https://"), f.Builder.Version)
	p.subpath = name
	return p
}

// modules are the modules of a program, with the standard library.
func (p Program) modules() []Module {
	if p.Go == "" {
		return nil
	}
	return append(slices.Clone(p.Modules), stdlib(p.Go))
}

// repositories of the publishers of Kubernetes, for package URLs of the type github.
func repository(name string) (owner, repo string) {
	if name == "k0s" {
		return "k0sproject", name
	}
	return "k3s-io", name
}

func (f Facts) kubernetesParts() []component {
	k := f.Kubernetes
	if k == nil {
		return nil
	}
	owner, repo := repository(k.Name)
	id := purl{kind: "github", namespace: owner, name: repo, version: k.Version}
	all := []component{{kind: kindKubernetes, name: k.Name, version: k.Version, purl: id, sha256: k.Program.SHA256, file: k.Program.Name, source: k.Program.URL}}
	if k.Images != nil {
		id.subpath = k.Images.Name
		all = append(all, component{kind: kindImages, name: k.Images.Name, version: k.Version, purl: id, sha256: k.Images.SHA256, file: k.Images.Name, source: k.Images.URL, note: "container images of " + k.Name})
	}
	return all
}
