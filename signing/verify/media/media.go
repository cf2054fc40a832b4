// SPDX-License-Identifier: Apache-2.0

// Package media has the names of evidence in a registry: media types, annotations and tags,
// as cosign and sigstore write them. Who fetches evidence and who checks it use the same.
package media

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Media types of evidence, and the types of statements.
const (
	// Signature is the payload of a signature in the older form of cosign. The signature
	// itself is in the annotations.
	Signature = "application/vnd.dev.cosign.simplesigning.v1+json"
	// Envelope is an attestation in the older form: a DSSE envelope.
	Envelope = "application/vnd.dsse.envelope.v1+json"
	// Bundle is a sigstore bundle of the version that is written.
	Bundle  = bundles + ".v0.3+json"
	bundles = "application/vnd.dev.sigstore.bundle" // begins those of all versions

	// PredicateAnnotation is where the manifest of a bundle says what the bundle attests.
	PredicateAnnotation = "dev.sigstore.bundle.predicateType"
	// SignaturePredicate is the type of a statement that says nothing but "I signed this".
	SignaturePredicate = "https://sigstore.dev/cosign/sign/v1"
)

// IsEvidence tells whether a media type is that of a signature or an attestation.
func IsEvidence(mediaType string) bool {
	return mediaType == Signature || mediaType == Envelope || strings.HasPrefix(mediaType, bundles)
}

// Tag is where registries without the referrers API list what refers to an image. With .sig
// and .att behind it, it is where older versions of cosign keep signatures and attestations.
func Tag(image v1.Hash) string { return image.Algorithm + "-" + image.Hex }
