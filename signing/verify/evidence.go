// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/signing/verify/media"
)

// Media types of evidence, and what is in a signature of the new format.
const (
	BundleType         = media.Bundle
	LegacyType         = media.Signature
	EnvelopeType       = media.Envelope
	SignaturePredicate = media.SignaturePredicate

	// BundleSuffix ends the name of the signature of a file, a bundle beside it.
	BundleSuffix = ".sigstore.json"
)

// BundleAnnotations are those of a manifest with the bundle of a statement, as cosign 3 writes
// them: clients that look for one kind of statement need not read the others. The date of
// cosign is left out: the same signature shall be the same bytes.
func BundleAnnotations(predicateType string) map[string]string {
	return map[string]string{
		"dev.sigstore.bundle.content": "dsse-envelope",
		media.PredicateAnnotation:     predicateType,
	}
}

// Sizes beyond which nothing is read.
const (
	MaxSignature   = 1 << 20  // bytes of a signature
	MaxAttestation = 32 << 20 // bytes of an attestation: an SBOM may be large
	MaxManifest    = 1 << 20  // bytes of a manifest of evidence
	MaxLayers      = 32       // pieces of evidence in a manifest
)

// Evidence is a signature or attestation as it lies in a registry: a layer of a manifest,
// or a file with a bundle.
type Evidence struct {
	MediaType   string            // of the layer; empty for a bundle
	Annotations map[string]string // of the layer
	Data        []byte            // checked against the layer's digest
}

// Describe is the evidence of a layer with the content data.
func Describe(layer v1.Descriptor, data []byte) Evidence {
	return Evidence{MediaType: string(layer.MediaType), Annotations: layer.Annotations, Data: data}
}

// SignatureTag and AttestationTag are where evidence of the old format lies, ReferrersTag
// where a registry without the referrers API lists the new one, in an image's repository.
func SignatureTag(image v1.Hash) string   { return ReferrersTag(image) + ".sig" }
func AttestationTag(image v1.Hash) string { return ReferrersTag(image) + ".att" } //nolint:revive // see SignatureTag
func ReferrersTag(image v1.Hash) string   { return media.Tag(image) }             //nolint:revive // see SignatureTag

// Layers returns the layers of a manifest that are evidence. There are none if the
// manifest is something else. If the manifest names a subject, it must be image.
func Layers(manifest []byte, image v1.Hash) ([]v1.Descriptor, error) {
	if len(manifest) > MaxManifest {
		return nil, fmt.Errorf("%w: its manifest has %d bytes, more than %d", ErrMalformed, len(manifest), MaxManifest)
	}
	var m v1.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrMalformed, err)
	}
	if m.Subject != nil && m.Subject.Digest != image {
		return nil, fmt.Errorf("%w: its manifest names %s, not %s", ErrOtherSubject, m.Subject.Digest, image)
	}
	var found []v1.Descriptor
	for _, layer := range m.Layers {
		if media.IsEvidence(string(layer.MediaType)) {
			found = append(found, layer)
		}
	}
	if len(found) > MaxLayers {
		return nil, fmt.Errorf("%w: its manifest has %d layers, more than %d", ErrMalformed, len(found), MaxLayers)
	}
	for _, layer := range found {
		if layer.Size < 0 || layer.Size > MaxAttestation {
			return nil, fmt.Errorf("%w: its layer %s has %d bytes, more than %d", ErrMalformed, layer.Digest, layer.Size, MaxAttestation)
		}
	}
	return found, nil
}
