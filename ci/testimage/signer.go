// SPDX-License-Identifier: Apache-2.0

package testimage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Signer signs images as cosign does, in its old and its new format. It has a throw-away
// key. It shares no code with the signing of the product, so that a mistake there shows.
type Signer struct{ key *ecdsa.PrivateKey }

// NewSigner makes a key.
func NewSigner() (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("a test's key: %w", err)
	}
	return &Signer{key}, nil
}

// PEM is the public key.
func (s *Signer) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("a test's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Sign returns the signature of data, ASN.1.
func (s *Signer) Sign(data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return ecdsa.SignASN1(rand.Reader, s.key, sum[:])
}

// Media types and annotations of cosign.
const (
	simpleSigning  = "application/vnd.dev.cosign.simplesigning.v1+json"
	bundleType     = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType  = "application/vnd.in-toto+json"
	noteSignature  = "dev.cosignproject.cosign/signature"
	notePredicate  = "dev.sigstore.bundle.predicateType"
	PredicateSign  = "https://sigstore.dev/cosign/sign/v1"
	emptyConfig    = types.MediaType("application/vnd.oci.empty.v1+json")
	payloadPattern = `{"critical":{"identity":{"docker-reference":"registry.example.org/node"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`
)

// SignatureTag is the tag of a signature in the old format.
func SignatureTag(subject v1.Hash) string {
	return subject.Algorithm + "-" + subject.Hex + ".sig"
}

// Legacy is a signature of subject in the old format: an image for SignatureTag.
func (s *Signer) Legacy(subject v1.Hash) (v1.Image, error) {
	payload := fmt.Appendf(nil, payloadPattern, subject)
	sig, err := s.Sign(payload)
	if err != nil {
		return nil, err
	}
	return mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer(payload, simpleSigning),
		Annotations: map[string]string{noteSignature: base64.StdEncoding.EncodeToString(sig)},
	})
}

// Bundle is a statement about subject in the new format: an image that refers to about,
// which must be the descriptor of subject.
func (s *Signer) Bundle(about v1.Descriptor, subject v1.Hash, predicateType string, predicate any) (v1.Image, error) {
	data, err := s.bundle(subject, predicateType, predicate)
	if err != nil {
		return nil, err
	}
	return Referrer(about, bundleType, predicateType, data)
}

// Referrer is an image that refers to another one and has data as its layer.
func Referrer(about v1.Descriptor, media, predicateType string, data []byte) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), emptyConfig)
	image, err := mutate.AppendLayers(base, static.NewLayer(data, types.MediaType(media)))
	if err != nil {
		return nil, err
	}
	image = mutate.Annotations(image, map[string]string{notePredicate: predicateType}).(v1.Image)
	return mutate.Subject(image, about).(v1.Image), nil
}

// bundle is a sigstore bundle with a DSSE envelope.
func (s *Signer) bundle(subject v1.Hash, predicateType string, predicate any) ([]byte, error) {
	payload, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": predicate,
		"subject": []any{map[string]any{"digest": map[string]string{"sha256": subject.Hex}}},
	})
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(statementType), statementType, len(payload), payload))
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return json.Marshal(map[string]any{
		"mediaType":            bundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": base64.StdEncoding.EncodeToString(sum[:])}},
		"dsseEnvelope":         map[string]any{"payload": payload, "payloadType": statementType, "signatures": []any{map[string]any{"sig": sig}}},
	})
}
