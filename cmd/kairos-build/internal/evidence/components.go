// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

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
	kindFile       kind = "file"   // that is added to the flavor
)

// A bill has what both kinds of bills of materials say.
type bill struct {
	name    string // of the document, for people
	space   string // the beginning of its identifier in SPDX
	created time.Time
	tool    string      // version of kairos-build
	subject component   // what the bill is of
	kind    subjectKind // of the subject
	system  *component  // the distribution in it, or nil
	all     []component // everything else in it, sorted by id
}

// A subjectKind is the kind of thing that a bill is of, in the words of both formats.
type subjectKind struct {
	spdx    string
	cyclone cdx.ComponentType
}

// bill lists everything in the image.
func (f Facts) bill() bill {
	system := f.systemPart()
	return bill{
		name: f.Flavor + " " + f.Version + " " + f.Arch, space: f.Flavor, created: f.Created, tool: f.Builder.Version,
		subject: f.imagePart(), kind: subjectKind{"CONTAINER", cdx.ComponentTypeContainer}, system: &system,
		all: inOrder(slices.Concat(f.packageParts(), f.programParts(), f.kubernetesParts(), f.fileParts())),
	}
}

// inOrder has each component once, sorted by id.
func inOrder(all []component) []component {
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.id(), b.id()) })
	return slices.CompactFunc(all, func(a, b component) bool { return a.id() == b.id() })
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
	var all []component
	for _, p := range f.Programs {
		if p.Place != "" {
			all = append(all, p.parts(f.Builder.Version, f.programPURL(p.Name))...)
		}
	}
	return all
}

// parts are a program and the Go modules in it.
func (p Program) parts(version string, id purl) []component {
	c := component{kind: kindProgram, name: p.Name, version: version, sha256: p.SHA256, file: p.Name, note: p.Place, purl: id}
	var modules []component
	for _, m := range p.modules() {
		part := component{kind: kindModule, name: m.Path, version: m.Version, purl: modulePURL(m.Path, m.Version)}
		modules, c.uses = append(modules, part), append(c.uses, part.id())
	}
	slices.Sort(c.uses)
	return append([]component{c}, modules...)
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

// fileParts are the files that are added to the flavor.
func (f Facts) fileParts() (all []component) {
	for _, file := range f.Added.Files {
		c := component{kind: kindFile, name: file.Path, version: f.Version, sha256: file.SHA256, note: "added to the flavor", purl: f.filePURL(file.Path)}
		if file.Link != "" {
			c.note += ": a link to " + file.Link
		}
		all = append(all, c)
	}
	return all
}

// filePURL names a file of the image. The parts of a subpath are encoded one by one.
func (f Facts) filePURL(name string) purl {
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "/"), "/") {
		parts = append(parts, percent(part))
	}
	return purl{kind: "generic", name: f.Flavor, version: f.Version, subpath: strings.Join(parts, "/")}
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
