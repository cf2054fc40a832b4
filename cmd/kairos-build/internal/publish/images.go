// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// An item is an image that is published.
type item struct {
	path     string // as the user named it
	image    v1.Image
	manifest manifest
	platform v1.Platform
	labels   map[string]string // of the manifest, or else of the configuration
	blobs    []blob            // configuration and layers, each once
	from     string            // repository of the same registry that has it; may be empty
}

// openImages opens all images, and finds out whether they are complete.
func (p *Publisher) openImages(ctx context.Context, paths []string) ([]item, error) {
	if len(paths) == 0 {
		return nil, badInput(errors.New("there is no image to publish"))
	}
	var items []item
	var all []error
	for _, path := range paths {
		i, err := p.openItem(ctx, path)
		items, all = append(items, i), append(all, err)
	}
	return items, errors.Join(all...)
}

func (p *Publisher) openItem(ctx context.Context, path string) (i item, err error) {
	i.path = path
	if i.image, err = p.openImage(ctx, path); err != nil {
		return i, badInput(err)
	}
	if err := source.Present(ctx, i.image); err != nil {
		return i, badInput(fmt.Errorf("%s: %w: build it again with `kairos-build flavor`", path, err))
	}
	i.from = p.fromOf(path)
	return i, i.describe()
}

// openImage opens the image in a folder, whatever its platform is, or what source.Open
// takes.
func (p *Publisher) openImage(ctx context.Context, path string) (v1.Image, error) {
	path = inBuild(path)
	if !isLayout(path) {
		return source.Open(ctx, path, source.Options{Arch: p.Arch, Log: p.Log})
	}
	if err := checkAlone(path); err != nil {
		return nil, err
	}
	return source.Layout(path, v1.Platform{})
}

// inBuild is the layout in the folder of a build; other paths stay.
func inBuild(path string) string {
	if inside := filepath.Join(path, "image"); !isLayout(path) && isLayout(inside) {
		return inside
	}
	return path
}

func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "index.json"))
	return err == nil
}

// checkAlone refuses a folder with several images: which one is meant?
func checkAlone(dir string) error {
	images, err := Images(dir)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrNotImage, err)
	case len(images) > 1:
		return fmt.Errorf("%s has %d images: publish folders with one image each; several of them become one index", dir, len(images))
	}
	return nil
}

// fromOf is the repository that an image comes from, if it is of the same registry.
func (p *Publisher) fromOf(path string) string {
	if _, err := os.Stat(path); err == nil {
		return ""
	}
	ref, err := name.ParseReference(strings.TrimPrefix(path, "oci:"))
	if err != nil || ref.Context().RegistryStr() != p.repo.RegistryStr() || ref.Context().RepositoryStr() == p.repo.RepositoryStr() {
		return ""
	}
	return ref.Context().RepositoryStr()
}

// describe reads the documents of the image.
func (i *item) describe() error {
	data, err := i.image.RawManifest()
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	media, err := i.image.MediaType()
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	m, err := i.image.Manifest()
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	config, err := i.image.ConfigFile()
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	i.manifest = manifest{media, data}
	i.platform = v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
	if i.labels = m.Annotations; i.labels[layout.LabelPrefix+"version"] == "" {
		i.labels = config.Config.Labels
	}
	i.blobs, err = blobsOf(i.image)
	return err
}

// blobsOf lists the layers and the configuration of an image, each once. Largest first:
// so the last of several at once is a short one.
func blobsOf(image v1.Image) ([]blob, error) {
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(image)
	if err != nil {
		return nil, err
	}
	seen := map[v1.Hash]bool{}
	var list []blob
	for _, layer := range append(layers, config) {
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		size, err := layer.Size()
		if err != nil {
			return nil, err
		}
		if !seen[digest] {
			list = append(list, blob{digest, size, layer.Compressed})
		}
		seen[digest] = true
	}
	slices.SortStableFunc(list, func(a, b blob) int { return cmp.Compare(b.size, a.size) })
	return list, nil
}

// nameOf is what the image's tag says, by its labels.
func (i *item) nameOf() (image reference.Image, missing []string, err error) {
	ours := layout.ReleaseLabels()
	read := func(key string) string {
		value := i.labels[ours[key]]
		if value == "" {
			missing = append(missing, ours[key])
		}
		return value
	}
	image = reference.Image{
		Release: read("KAIROS_FLAVOR_RELEASE"), Variant: "core", Arch: read("KAIROS_ARCH"), Model: read("KAIROS_MODEL"), Version: read("KAIROS_VERSION"),
	}
	if text := i.labels[layout.LabelKubernetes]; text != "" {
		image.Variant = "standard"
		if image.Kubernetes, err = release.Parse(text); err != nil {
			err = badInput(fmt.Errorf("%s: its label %s: %w", i.path, layout.LabelKubernetes, err))
		}
	}
	return image, missing, err
}

// tagFor is the tag of an image that the user gave none: its name.
func (i *item) tagFor(repo name.Repository) (string, error) {
	image, missing, err := i.nameOf()
	switch {
	case err != nil:
		return "", err
	case len(missing) > 0:
		return "", badInput(fmt.Errorf("%s: its tag is made of its labels, and it has no %s: was it made by kairos-build? name a tag: %s:TAG", i.path, strings.Join(missing, ", "), repo))
	}
	ref := reference.Reference{Registry: repo.RegistryStr(), Flavor: repo.RepositoryStr(), Image: image}
	if at := strings.LastIndexByte(repo.RepositoryStr(), '/'); at >= 0 {
		ref.Registry, ref.Flavor = repo.RegistryStr()+"/"+repo.RepositoryStr()[:at], repo.RepositoryStr()[at+1:]
	}
	if err := ref.Check(); err != nil {
		return "", badInput(fmt.Errorf("%s: %w; name another tag: %s:TAG", i.path, err, repo))
	}
	return image.Tag(), nil
}

// same are the labels that all images of an index have in common.
func same() []string {
	ours := layout.ReleaseLabels()
	return []string{
		layout.LabelPrefix + "flavor", ours["KAIROS_FLAVOR"], ours["KAIROS_FLAVOR_RELEASE"], ours["KAIROS_MODEL"], ours["KAIROS_VERSION"], layout.LabelKubernetes,
	}
}

// indexOf makes the index of several images, in the order of their platforms. They are one
// image for several platforms: what differs besides is a mistake.
func indexOf(items []item) (manifest, error) {
	items = slices.SortedStableFunc(slices.Values(items), func(a, b item) int { return cmp.Compare(a.platform.String(), b.platform.String()) })
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	var all []error
	for at, i := range items {
		d := i.manifest.descriptor()
		d.Platform = &i.platform
		index.Manifests = append(index.Manifests, d)
		if at > 0 {
			all = append(all, fits(items[0], items[at-1], i))
		}
	}
	if err := errors.Join(all...); err != nil {
		return manifest{}, err
	}
	index.Annotations = common(items)
	return marshal(types.OCIImageIndex, index)
}

// fits finds out whether an image belongs into an index with the first one, behind the
// one before.
func fits(first, before, i item) error {
	if i.platform.String() == before.platform.String() {
		return badInput(fmt.Errorf("%s and %s are both for %s: an index has one image for each platform", before.path, i.path, i.platform.String()))
	}
	for _, label := range same() {
		if a, b := first.labels[label], i.labels[label]; a != b {
			return badInput(fmt.Errorf("%s and %s differ in more than their platform: %s is %q and %q", first.path, i.path, label, a, b))
		}
	}
	return nil
}

// common are the labels that all images have with the same value.
func common(items []item) map[string]string {
	labels := map[string]string{}
	for key, value := range items[0].labels {
		if !slices.ContainsFunc(items, func(i item) bool { return i.labels[key] != value }) {
			labels[key] = value
		}
	}
	return labels
}
