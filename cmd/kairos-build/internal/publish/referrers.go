// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what is read of the attachments in a registry.
const (
	maxReferrers = 64
	maxContent   = 4 << 20 // bytes of one content: the bill of materials in an attestation
	listRounds   = 5       // how often the list is written while others write it, too
)

// suffixes are those of the tags where cosign before version 3 keeps signatures and
// attestations.
var suffixes = []string{"sig", "att"}

// listTag is the tag of the list of referrers in a registry without the referrers API:
// the "referrers tag schema" of the OCI distribution specification.
func listTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// list makes sure that attachments are found: a registry with the referrers API lists
// them by itself, for another one the list is written below a tag.
func (r *registry) list(ctx context.Context, subject v1.Hash, all []Attached) error {
	var entries []v1.Descriptor
	for _, a := range all {
		if a.Tag == "" {
			entries = append(entries, a.listed)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if _, api, err := r.referrers(ctx, subject); api || err != nil {
		return err
	}
	return r.writeList(ctx, subject, entries)
}

// writeList adds entries to the list below the tag. Several writers may do so at once:
// each reads the list again until its own entries are in it.
func (r *registry) writeList(ctx context.Context, subject v1.Hash, entries []v1.Descriptor) error {
	for range listRounds {
		have, err := r.readList(ctx, subject)
		if err != nil {
			return err
		}
		all, added := join(have, entries)
		if !added {
			return nil
		}
		m, err := marshal(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: all})
		if err != nil {
			return err
		}
		if _, err := r.put(ctx, m, listTag(subject)); err != nil {
			return err
		}
	}
	have, err := r.readList(ctx, subject)
	if _, lacks := join(have, entries); err == nil && lacks {
		return fmt.Errorf("another program writes the list of attachments of %s at the same time (tag %s): run this again", subject, listTag(subject))
	}
	return err
}

// join adds the entries that a list does not have, and sorts it.
func join(have, entries []v1.Descriptor) (all []v1.Descriptor, added bool) {
	all = slices.Clone(have)
	for _, e := range entries {
		if !slices.ContainsFunc(all, func(old v1.Descriptor) bool { return old.Digest == e.Digest }) {
			all, added = append(all, e), true
		}
	}
	slices.SortStableFunc(all, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.Hex, b.Digest.Hex) })
	return all, added
}

// readList reads the list below the tag.
func (r *registry) readList(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	m, err := r.read(ctx, listTag(subject))
	if m == nil || err != nil {
		return nil, err
	}
	return parseList(m.data, "the tag "+listTag(subject))
}

func parseList(data []byte, what string) ([]v1.Descriptor, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil || index.SchemaVersion != 2 || index.MediaType != types.OCIImageIndex {
		return nil, badInput(fmt.Errorf("%s names something that is no list of attachments", what))
	}
	return index.Manifests, nil
}

// referrers lists what refers to a subject. api tells whether the registry has the
// referrers API; if not, the list is that below the tag.
func (r *registry) referrers(ctx context.Context, subject v1.Hash) (list []v1.Descriptor, api bool, err error) {
	q := request{method: http.MethodGet, url: r.url("referrers/" + subject.String()), accept: string(types.OCIImageIndex)}
	a, err := r.ask(ctx, q, http.StatusOK, http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented)
	if err != nil {
		return nil, false, err
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if a.status == http.StatusOK && types.MediaType(strings.TrimSpace(media)) == types.OCIImageIndex {
		list, err = parseList(a.data, "the list of referrers")
		return list, true, err
	}
	list, err = r.readList(ctx, subject)
	return list, false, err
}

// attached reads what the registry has about a subject: its referrers, and the
// signatures and attestations of older versions of cosign. Contents of more than 4 MiB have no Data.
func (r *registry) attached(ctx context.Context, subject v1.Hash) ([]Attachment, error) {
	list, _, err := r.referrers(ctx, subject)
	if err != nil {
		return nil, err
	}
	var all []Attachment
	for _, entry := range list[:min(len(list), maxReferrers)] {
		a, err := r.readAttachment(ctx, entry.Digest.String())
		if err != nil {
			return nil, err
		}
		if a != nil {
			all = append(all, *a)
		}
	}
	if len(list) > maxReferrers {
		r.log.Warn("more is attached than is read: only the first are", "to", subject, "attached", len(list), "read", maxReferrers)
	}
	for _, suffix := range suffixes {
		old, err := r.readAttachment(ctx, suffixTag(subject, suffix))
		if err != nil {
			return nil, err
		}
		if old != nil {
			old.Suffix = suffix
			all = append(all, *old)
		}
	}
	return all, nil
}

// readAttachment reads an attachment; nil if there is none, or it is of another form.
func (r *registry) readAttachment(ctx context.Context, name string) (*Attachment, error) {
	stored, err := r.read(ctx, name)
	if stored == nil || err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(stored.data, &m); err != nil {
		return nil, nil
	}
	a := &Attachment{ArtifactType: cmp.Or(m.ArtifactType, m.Config.MediaType), Annotations: m.Annotations}
	for _, layer := range m.Layers[:min(len(m.Layers), maxReferrers)] {
		c := Content{MediaType: layer.MediaType, Annotations: layer.Annotations}
		if layer.Size <= maxContent {
			if c.Data, err = r.content(ctx, layer); err != nil {
				return nil, err
			}
		}
		a.Layers = append(a.Layers, c)
	}
	return a, nil
}

// content reads a small blob; nil if it is not there, or not as its digest says.
func (r *registry) content(ctx context.Context, layer ocispec.Descriptor) ([]byte, error) {
	a, err := r.ask(ctx, request{method: http.MethodGet, url: r.url("blobs/" + layer.Digest.String())}, http.StatusOK, http.StatusNotFound)
	if err != nil || a.status == http.StatusNotFound || sha256Of(a.data).String() != layer.Digest.String() {
		return nil, err
	}
	return a.data, nil
}
