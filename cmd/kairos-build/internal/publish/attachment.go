// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Subject is a manifest that something is attached to: an image, or the index of several.
type Subject struct {
	Repository  string // REGISTRY/NAME
	Tag         string // that it will get; empty for an image in an index
	Path        string // of the image, as the user named it; empty for an index
	Digest      v1.Hash
	Size        int64 // of the manifest, in bytes
	MediaType   string
	Annotations map[string]string // of the manifest, or else the labels of the image
	Image       v1.Image          // nil for an index, and for what is in the registry already
}

// An Attachment is something about a subject: an SBOM, a statement, a signature. The
// same attachment always has the same bytes in the registry.
type Attachment struct {
	// ArtifactType says what it is, as a media type.
	ArtifactType string
	Layers       []Content
	Annotations  map[string]string // of its manifest
	// Suffix, if it is not empty, makes it no referrer. Its layers are added to the image
	// that the tag sha256-<digest of the subject>.<Suffix> names, where cosign before
	// version 3 looks: "sig" for signatures, "att" for attestations.
	Suffix string
}

// A Content is one file of an attachment.
type Content struct {
	MediaType   string
	Data        []byte
	Annotations map[string]string
}

// An Evidence knows what is attached to images besides signatures.
type Evidence interface {
	// Evidence returns the attachments of a subject. There may be none. attached is what
	// the registry has about it: what is there need not be in the result again, and must
	// not be if its bytes would be others, as those of a new signature are.
	Evidence(ctx context.Context, s Subject, attached []Attachment) ([]Attachment, error)
}

// A Signer signs manifests.
type Signer interface {
	// Signed tells whether a signature among the attachments that the registry has makes
	// another one needless.
	Signed(s Subject, attached []Attachment) bool
	// Sign returns signatures of a subject.
	Sign(ctx context.Context, s Subject) ([]Attachment, error)
}

// emptyConfig is the configuration of an artifact, as the OCI image specification has it.
func emptyConfig() Content {
	return Content{MediaType: ocispec.MediaTypeEmptyJSON, Data: ocispec.DescriptorEmptyJSON.Data}
}

func (c Content) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.MediaType, Digest: digest.FromBytes(c.Data), Size: int64(len(c.Data)), Annotations: c.Annotations}
}

// referrer is the manifest of an attachment that refers to its subject.
func (a Attachment) referrer(s Subject) (manifest, error) {
	layers := []ocispec.Descriptor{}
	for _, c := range a.Layers {
		layers = append(layers, c.descriptor())
	}
	return marshal(types.OCIManifestSchema1, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.ArtifactType,
		Config: emptyConfig().descriptor(), Layers: layers, Annotations: a.Annotations,
		Subject: &ocispec.Descriptor{MediaType: s.MediaType, Digest: digest.Digest(s.Digest.String()), Size: s.Size},
	})
}

func marshal(media types.MediaType, document any) (manifest, error) {
	data, err := json.Marshal(document)
	return manifest{media, data}, err
}

// An Attached is an attachment in the registry.
type Attached struct {
	ArtifactType string `json:"artifact_type"`
	Digest       string `json:"digest"`        // of its manifest
	Subject      string `json:"subject"`       // digest of what it is attached to
	Tag          string `json:"tag,omitempty"` // of an attachment with a Suffix
	Present      bool   `json:"present"`       // it was there already
	listed       v1.Descriptor
}

// attach stores attachments of a subject, and lists them where clients look for them.
func (r *registry) attach(ctx context.Context, s Subject, list []Attachment, watch func(done int64)) (all []Attached, err error) {
	var done int64
	for _, a := range list {
		if len(a.Layers) == 0 {
			return all, fmt.Errorf("BUG: an attachment of type %s without content", a.ArtifactType)
		}
		if _, err := r.deliver(ctx, bytesBlob(emptyConfig().Data), nil, func(int64) {}); err != nil {
			return all, fmt.Errorf("uploading %s: %w", a.ArtifactType, err)
		}
		for _, c := range a.Layers {
			if _, err := r.deliver(ctx, bytesBlob(c.Data), nil, func(n int64) { watch(done + n) }); err != nil {
				return all, fmt.Errorf("uploading %s: %w", a.ArtifactType, err)
			}
			done += int64(len(c.Data))
			watch(done)
		}
		attached, err := r.attachOne(ctx, s, a)
		if err != nil {
			return all, fmt.Errorf("attaching %s: %w", a.ArtifactType, err)
		}
		all = append(all, attached)
	}
	return all, r.list(ctx, s.Digest, all)
}

func (r *registry) attachOne(ctx context.Context, s Subject, a Attachment) (Attached, error) {
	if a.Suffix != "" {
		return r.attachTagged(ctx, s, a)
	}
	m, err := a.referrer(s)
	if err != nil {
		return Attached{}, err
	}
	stored, err := r.putMissing(ctx, m)
	listed := m.descriptor()
	listed.ArtifactType, listed.Annotations = a.ArtifactType, a.Annotations
	return Attached{ArtifactType: a.ArtifactType, Digest: m.digest().String(), Subject: s.Digest.String(), Present: !stored, listed: listed}, err
}

// suffixTag is the tag of cosign before version 3 for something about a digest.
func suffixTag(digest v1.Hash, suffix string) string {
	return digest.Algorithm + "-" + digest.Hex + "." + suffix
}

// attachTagged adds layers to the image that holds attachments of one kind. It keeps the
// layers that the image has.
func (r *registry) attachTagged(ctx context.Context, s Subject, a Attachment) (Attached, error) {
	tag := suffixTag(s.Digest, a.Suffix)
	layers, err := r.taggedLayers(ctx, tag)
	if err != nil {
		return Attached{}, err
	}
	before := len(layers)
	layers = a.joined(layers)
	m, config, err := imageOf(layers)
	if err != nil {
		return Attached{}, err
	}
	attached := Attached{ArtifactType: a.ArtifactType, Digest: m.digest().String(), Subject: s.Digest.String(), Tag: tag, Present: len(layers) == before}
	if attached.Present {
		return attached, nil
	}
	if _, err := r.deliver(ctx, bytesBlob(config), nil, func(int64) {}); err != nil {
		return Attached{}, err
	}
	_, err = r.put(ctx, m, tag)
	return attached, err
}

// joined adds the layers of an attachment that a list does not have.
func (a Attachment) joined(layers []ocispec.Descriptor) []ocispec.Descriptor {
	layers = slices.Clone(layers)
	for _, c := range a.Layers {
		d := c.descriptor()
		if !slices.ContainsFunc(layers, func(old ocispec.Descriptor) bool { return sameLayer(old, d) }) {
			layers = append(layers, d)
		}
	}
	return layers
}

// sameLayer compares what makes a layer: signatures of one payload differ in their
// annotations alone.
func sameLayer(a, b ocispec.Descriptor) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// taggedLayers are the layers of the image that tag names, or none.
func (r *registry) taggedLayers(ctx context.Context, tag string) ([]ocispec.Descriptor, error) {
	old, err := r.read(ctx, tag)
	if old == nil || err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(old.data, &m); err != nil {
		return nil, badInput(fmt.Errorf("the tag %s names something that is no image: %w: remove it", tag, err))
	}
	return m.Layers, nil
}

// imageOf is an image with the layers, whose content is not a file system.
func imageOf(layers []ocispec.Descriptor) (m manifest, config []byte, err error) {
	file := v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}}
	for _, layer := range layers {
		digest, err := v1.NewHash(layer.Digest.String()) // those of the registry are as it says
		if err != nil {
			return m, nil, badInput(fmt.Errorf("a layer of what is attached already: %w", err))
		}
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, digest)
	}
	if config, err = json.Marshal(file); err != nil {
		return m, nil, err
	}
	m, err = marshal(types.OCIManifestSchema1, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: Content{MediaType: ocispec.MediaTypeImageConfig, Data: config}.descriptor(), Layers: layers,
	})
	return m, config, err
}
