// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/signing/verify/media"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// Bounds of the evidence about one digest in one place. Anybody who can write to the
// repository can add some.
const (
	maxEvidence     = 128     // manifests that are read, and twice as many documents in them
	maxEvidenceSize = 4 << 20 // bytes of one
	maxListed       = 4096    // entries of an index that are looked at
)

// emptyConfig stands for the type of an artifact whose manifest names none.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// Evidence is a document about a digest: a signature or an attestation. It is what the place
// has, and nothing vouches for it: a verifier must.
type Evidence struct {
	MediaType   string
	Content     []byte
	Annotations map[string]string // of the document's descriptor
	From        string            // where it is, for messages
	// Artifact is the type of the artifact that has the document, as its manifest says;
	// empty for the tags of older versions of cosign.
	Artifact string
}

// A shelf is a place where evidence may be.
type shelf interface {
	store
	// attached lists documents whose manifests say that they are about subject.
	attached(subject v1.Hash) ([]v1.Descriptor, error)
	// tagged returns the manifest with a tag; nil if there is none.
	tagged(tag string) ([]byte, error)
}

// Evidence returns what there is about a digest of the image's chain: signatures, and
// attestations of the given predicate types. An attestation of which it is not known before
// reading what it attests is returned, too. An error is about one document or one place: more
// may follow it.
func (i *Image) Evidence(subject v1.Hash, predicates ...string) iter.Seq2[Evidence, error] {
	return func(yield func(Evidence, error) bool) {
		for _, s := range i.shelves {
			if !(&gathering{shelf: s, subject: subject, predicates: predicates, yield: yield}).run() {
				return
			}
		}
	}
}

// Attachments returns every document that is attached to a digest of the image's chain: also
// those that are neither signatures nor attestations, such as an SBOM.
func (i *Image) Attachments(subject v1.Hash) iter.Seq2[Evidence, error] {
	return func(yield func(Evidence, error) bool) {
		for _, s := range i.shelves {
			if !(&gathering{shelf: s, subject: subject, everything: true, yield: yield}).run() {
				return
			}
		}
	}
}

// A gathering reads the evidence of one shelf.
type gathering struct {
	shelf
	subject    v1.Hash
	predicates []string
	everything bool // also what is no evidence by its type
	yield      func(Evidence, error) bool
	seen, read int // manifests and documents
}

// run returns false if no more is wanted.
func (g *gathering) run() bool {
	attached, err := g.attached(g.subject)
	if err != nil && !g.yield(Evidence{}, fmt.Errorf("listing what refers to %s: %w", g.subject, err)) {
		return false
	}
	for _, d := range attached {
		if g.everything || d.ArtifactType == "" || d.ArtifactType == emptyConfig || media.IsEvidence(d.ArtifactType) {
			if !g.referrer(d) {
				return false
			}
		}
	}
	return g.tag("sig") && (len(g.predicates) == 0 && !g.everything || g.tag("att"))
}

// referrer reads a manifest that may be about the subject.
func (g *gathering) referrer(d v1.Descriptor) bool {
	if g.seen++; g.seen > maxEvidence {
		return g.tooMany()
	}
	from := "referrer " + d.Digest.String()
	if d.Size > maxEvidenceSize {
		return g.fail(from, fmt.Errorf("%w: it has %d bytes, more than %d", ErrTooLarge, d.Size, maxEvidenceSize))
	}
	data, err := readDocument(g, "referrer", d)
	if err != nil {
		return g.fail(from, err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return g.fail(from, err)
	}
	if m.Subject == nil || m.Subject.Digest != g.subject {
		return g.fail(from, fmt.Errorf("%w: it does not say that it is about %s", ErrNotImage, g.subject))
	}
	if p := m.Annotations[media.PredicateAnnotation]; p != "" && p != media.SignaturePredicate && !g.everything && !slices.Contains(g.predicates, p) {
		return true
	}
	return g.layers(from, artifactOf(data), m)
}

// artifactOf is the type of an artifact: that of its configuration, if the manifest names no
// other.
func artifactOf(manifest []byte) string {
	var m struct {
		ArtifactType string `json:"artifactType"`
		Config       struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return ""
	}
	return cmp.Or(m.ArtifactType, m.Config.MediaType)
}

// tag reads the manifest that older versions of cosign keep under a tag.
func (g *gathering) tag(suffix string) bool {
	name := media.Tag(g.subject) + "." + suffix
	data, err := g.tagged(name)
	if err != nil {
		return g.fail("tag "+name, err)
	}
	if data == nil {
		return true
	}
	m, err := parseManifest(data)
	if err != nil {
		return g.fail("tag "+name, err)
	}
	return g.layers("tag "+name, "", m)
}

// layers reads the documents of a manifest.
func (g *gathering) layers(from, artifact string, m *v1.Manifest) bool {
	for _, layer := range m.Layers {
		if !g.everything && !media.IsEvidence(string(layer.MediaType)) {
			continue
		}
		if g.read++; g.read > 2*maxEvidence {
			return g.tooMany()
		}
		if !g.document(from, artifact, layer) {
			return false
		}
	}
	return true
}

func (g *gathering) document(from, artifact string, d v1.Descriptor) bool {
	if d.Size > maxEvidenceSize {
		return g.fail(from, fmt.Errorf("%w: blob %s has %d bytes, more than %d", ErrTooLarge, d.Digest, d.Size, maxEvidenceSize))
	}
	content, err := readDocument(g, "blob", d)
	if err != nil {
		return g.fail(from, err)
	}
	return g.yield(Evidence{MediaType: string(d.MediaType), Content: content, Annotations: d.Annotations, From: from, Artifact: artifact}, nil)
}

func (g *gathering) fail(from string, err error) bool {
	return g.yield(Evidence{}, fmt.Errorf("%s: %w", from, err))
}

// tooMany ends the reading of this shelf, not that of the next.
func (g *gathering) tooMany() bool {
	return g.yield(Evidence{}, fmt.Errorf("%w: %s has more than the %d signatures and attestations that are read; remove those that are no signatures", ErrTooLarge, g.subject, maxEvidence))
}

func parseManifest(data []byte) (*v1.Manifest, error) {
	if err := checkShape(sha256Of(data), data, "manifests"); err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotImage, err)
	}
	return m, nil
}

// entriesOf returns the entries of an index, not more than maxListed.
func entriesOf(data []byte) ([]v1.Descriptor, error) {
	if err := checkShape(sha256Of(data), data, "layers"); err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotImage, err)
	}
	return index.Manifests[:min(len(index.Manifests), maxListed)], nil
}

// attached implements shelf by the referrers API; a registry without it has an index under
// a tag. Some got the API later, and have both.
func (r *repository) attached(subject v1.Hash) ([]v1.Descriptor, error) {
	data, err := r.manifest("referrers/" + subject.String())
	if err == nil && data != nil {
		if listed, err := entriesOf(data); len(listed) > 0 || err != nil {
			return listed, err
		}
	}
	data, second := r.tagged(media.Tag(subject))
	if data == nil || second != nil {
		return nil, errors.Join(err, second)
	}
	return entriesOf(data)
}

// tagged implements shelf.
func (r *repository) tagged(tag string) ([]byte, error) { return r.manifest("manifests/" + tag) }

// manifest reads a manifest or an index; nil if there is none.
func (r *repository) manifest(path string) ([]byte, error) {
	resp, err := r.send(http.MethodGet, r.url(path), strings.Join(accepted(), ","))
	if isStatus(err, http.StatusNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fetch.Scrubbed(err)
	}
	data, err := readAll(resp.Body, path)
	return data, errors.Join(err, resp.Body.Close())
}

// A laterShelf is a registry that is asked when the places before it had no good evidence.
type laterShelf struct {
	signIn func() (*repository, error)
	*repository
}

func (l *laterShelf) attached(subject v1.Hash) (list []v1.Descriptor, err error) {
	if l.repository, err = l.signIn(); err != nil {
		return nil, err
	}
	return l.repository.attached(subject)
}

func (l *laterShelf) tagged(tag string) ([]byte, error) {
	if l.repository == nil { // attached said why
		return nil, nil
	}
	return l.repository.tagged(tag)
}

// A layoutShelf is an OCI layout: its index.json lists signatures beside images.
type layoutShelf struct {
	store
	index []byte
}

// attached implements shelf. The entries of index.json do not tell what they are about.
func (l layoutShelf) attached(subject v1.Hash) ([]v1.Descriptor, error) {
	entries, err := entriesOf(l.index)
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	for _, e := range entries {
		if e.MediaType.IsImage() && e.Digest != subject && l.isAbout(e, subject) {
			found = append(found, e)
		}
	}
	return found, nil
}

func (l layoutShelf) isAbout(e v1.Descriptor, subject v1.Hash) bool {
	data, err := readDocument(l, "manifest", e)
	if err != nil {
		return false
	}
	var m struct {
		Subject *v1.Descriptor `json:"subject"`
	}
	return json.Unmarshal(data, &m) == nil && m.Subject != nil && m.Subject.Digest == subject
}

// Annotations of entries of index.json. The second is that of `cosign save`, which writes
// the signatures of the one image.
const (
	annotationName = "org.opencontainers.image.ref.name"
	annotationKind = "kind"
)

// tagged implements shelf.
func (l layoutShelf) tagged(tag string) ([]byte, error) {
	entries, err := entriesOf(l.index)
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{".sig": "dev.cosignproject.cosign/sigs", ".att": "dev.cosignproject.cosign/atts"}
	for _, e := range entries {
		name := e.Annotations[annotationName]
		if !e.MediaType.IsImage() || name != tag && !strings.HasSuffix(name, ":"+tag) && e.Annotations[annotationKind] != kinds[tag[len(tag)-4:]] {
			continue
		}
		return readDocument(l, "manifest", e)
	}
	return nil, nil
}
