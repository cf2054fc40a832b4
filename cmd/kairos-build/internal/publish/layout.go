// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const indexName = "index.json"

// A Layout is an OCI layout, a folder or a tar, to which something can be attached. Its
// index.json lists attachments behind the images: those of a registry's referrers with their
// artifact types, those of a registry's tags with the tag as their name.
type Layout struct {
	files layoutFiles
	index v1.IndexManifest
}

// OpenLayout opens a layout, and returns what it has: of an index its images, then the index.
// The subjects have no Image.
func OpenLayout(path string) (*Layout, []Subject, error) {
	files, err := openLayoutFiles(path)
	if err != nil {
		return nil, nil, badInput(fmt.Errorf("%s: %w", path, err))
	}
	l := &Layout{files: files}
	if err := l.read(indexName, &l.index); err != nil {
		return nil, nil, badInput(fmt.Errorf("%s: %w", path, err))
	}
	all, err := l.subjects(path, l.index.Manifests)
	if err != nil {
		return nil, nil, badInput(fmt.Errorf("%s: %w", path, err))
	}
	if len(all) == 0 {
		return nil, nil, badInput(fmt.Errorf("%s: its index.json lists no image", path))
	}
	return l, all, nil
}

// Images lists the images and indexes of an OCI layout in a folder, without what is attached
// to them.
func Images(dir string) ([]v1.Descriptor, error) {
	l := &Layout{files: layoutFolder(dir)}
	if err := l.read(indexName, &l.index); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return slices.DeleteFunc(slices.Clone(l.index.Manifests), l.isAttachment), nil
}

func (l *Layout) subjects(path string, entries []v1.Descriptor) (all []Subject, err error) {
	for _, e := range entries {
		if l.isAttachment(e) {
			continue
		}
		if e.MediaType.IsIndex() {
			var inside v1.IndexManifest
			if err := l.read(blobName(e.Digest), &inside); err != nil {
				return nil, err
			}
			below, err := l.subjects(path, inside.Manifests)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		}
		if e.MediaType.IsIndex() || e.MediaType.IsImage() {
			all = append(all, Subject{Path: path, Digest: e.Digest, Size: e.Size, MediaType: string(e.MediaType)})
		}
	}
	return all, nil
}

// isAttachment tells what is attached to an image from an image. BuildKit gives its own
// attachments the platform "unknown". An artifact type says nothing: some libraries give
// images one, too.
func (l *Layout) isAttachment(e v1.Descriptor) bool {
	name := e.Annotations[ocispec.AnnotationRefName]
	switch {
	case strings.HasPrefix(name, "sha256-") && strings.Contains(name, "."):
		return true
	case e.Platform != nil && e.Platform.OS == "unknown":
		return true
	case !e.MediaType.IsImage():
		return false
	}
	var m v1.Manifest
	return l.read(blobName(e.Digest), &m) == nil && m.Subject != nil
}

// Attached reads what the layout has about a subject.
func (l *Layout) Attached(s Subject) ([]Attachment, error) {
	var all []Attachment
	for _, e := range l.index.Manifests {
		suffix, tagged := strings.CutPrefix(e.Annotations[ocispec.AnnotationRefName], suffixTag(s.Digest, ""))
		if !e.MediaType.IsImage() || !tagged && !l.isAttachment(e) {
			continue
		}
		var m ocispec.Manifest
		if err := l.read(blobName(e.Digest), &m); err != nil {
			return nil, err
		}
		if !tagged && (m.Subject == nil || m.Subject.Digest.String() != s.Digest.String()) {
			continue
		}
		a, err := l.attachment(m)
		if err != nil {
			return nil, err
		}
		a.Suffix = suffix
		if !tagged {
			a.Suffix = ""
		}
		all = append(all, a)
	}
	return all, nil
}

func (l *Layout) attachment(m ocispec.Manifest) (Attachment, error) {
	a := Attachment{ArtifactType: m.ArtifactType, Annotations: m.Annotations}
	for _, layer := range m.Layers[:min(len(m.Layers), maxReferrers)] {
		c := Content{MediaType: layer.MediaType, Annotations: layer.Annotations}
		if layer.Size <= maxContent {
			digest, err := v1.NewHash(layer.Digest.String())
			if err != nil {
				return a, err
			}
			data, err := l.files.read(blobName(digest))
			if err != nil {
				return a, err
			}
			c.Data = data
		}
		a.Layers = append(a.Layers, c)
	}
	return a, nil
}

// Attach attaches something to a subject. The index.json is replaced last, in one step.
func (l *Layout) Attach(s Subject, list []Attachment) error {
	files, index := map[string][]byte{}, l.index
	index.Manifests = slices.Clone(index.Manifests)
	for _, a := range list {
		entry, err := l.add(files, s, a, index.Manifests)
		if err != nil {
			return fmt.Errorf("attaching %s: %w", a.ArtifactType, err)
		}
		index.Manifests = replaced(index.Manifests, entry)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := l.files.write(files, data); err != nil {
		return err
	}
	l.index = index
	return nil
}

// add puts the blobs of an attachment into files, and returns its entry of the index.
func (l *Layout) add(files map[string][]byte, s Subject, a Attachment, entries []v1.Descriptor) (v1.Descriptor, error) {
	keep := func(data []byte) { files[blobName(sha256Of(data))] = data }
	for _, c := range a.Layers {
		keep(c.Data)
	}
	if a.Suffix == "" {
		m, err := a.referrer(s)
		keep(m.data)
		keep(emptyConfig().Data)
		entry := m.descriptor()
		entry.ArtifactType, entry.Annotations = a.ArtifactType, maps.Clone(a.Annotations)
		return entry, err
	}
	tag := suffixTag(s.Digest, a.Suffix)
	layers, err := l.taggedLayers(entries, tag)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m, config, err := imageOf(a.joined(layers))
	keep(m.data)
	keep(config)
	entry := m.descriptor()
	entry.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	return entry, err
}

func (l *Layout) taggedLayers(entries []v1.Descriptor, tag string) ([]ocispec.Descriptor, error) {
	i := slices.IndexFunc(entries, func(e v1.Descriptor) bool { return e.Annotations[ocispec.AnnotationRefName] == tag })
	if i < 0 {
		return nil, nil
	}
	var m ocispec.Manifest
	err := l.read(blobName(entries[i].Digest), &m)
	return m.Layers, err
}

// replaced adds an entry, in the place of one with the same name or digest if there is one.
func replaced(entries []v1.Descriptor, entry v1.Descriptor) []v1.Descriptor {
	name := entry.Annotations[ocispec.AnnotationRefName]
	i := slices.IndexFunc(entries, func(e v1.Descriptor) bool {
		return e.Digest == entry.Digest || name != "" && e.Annotations[ocispec.AnnotationRefName] == name
	})
	if i < 0 {
		return append(entries, entry)
	}
	entries[i] = entry
	return entries
}

func (l *Layout) read(name string, to any) error {
	data, err := l.files.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s in it: want an OCI layout", name)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func blobName(digest v1.Hash) string {
	return ocispec.ImageBlobsDir + "/" + digest.Algorithm + "/" + digest.Hex
}
