// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// A proof is a signature, and the key or certificate, log entries and timestamps that
// come with it.
type proof struct {
	bundle *bundle.Bundle
	legacy bool
}

// openBundle reads a bundle, which is either an envelope with a statement, or a signature
// over a file, of which the bundle has the digest only.
func openBundle(data []byte) (sealed, error) {
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(data); err != nil {
		return sealed{}, fmt.Errorf("reading the bundle: %w", err)
	}
	s := sealed{proof: proof{bundle: b}}
	switch content := b.Content.(type) {
	case *protobundle.Bundle_DsseEnvelope:
		envelope := content.DsseEnvelope
		if n := len(envelope.GetSignatures()); n != 1 {
			return sealed{}, fmt.Errorf("the envelope has %d signatures; want one", n)
		}
		var err error
		s.says, err = parseStatement(envelope.GetPayloadType(), envelope.GetPayload())
		return s, err
	case *protobundle.Bundle_MessageSignature:
		digest := content.MessageSignature.GetMessageDigest()
		if digest.GetAlgorithm() != protocommon.HashAlgorithm_SHA2_256 {
			return sealed{}, errors.New("the bundle has no sha256 digest of what was signed")
		}
		s.of = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest.GetDigest())}
		return s, nil
	}
	return sealed{}, errors.New("the bundle has neither an envelope nor a signature")
}

// certified tells whether the signature comes with a certificate.
func (p proof) certified() bool {
	content, err := p.bundle.VerificationContent()
	return err == nil && content.Certificate() != nil
}

// keyHint is the fingerprint of the key that made the signature, as the signature says.
func (p proof) keyHint() string {
	hint := p.bundle.GetVerificationMaterial().GetPublicKey().GetHint()
	if sum, err := base64.StdEncoding.DecodeString(hint); err == nil && len(sum) == 32 {
		return "sha256:" + hex.EncodeToString(sum) // as cosign writes it
	}
	return hint
}

// signed says which bytes must have been signed.
func (s sealed) signed(subject v1.Hash) (sigstore.ArtifactPolicyOption, error) {
	if s.bytes != nil {
		return sigstore.WithArtifact(bytes.NewReader(s.bytes)), nil
	}
	sum, err := hex.DecodeString(subject.Hex)
	return sigstore.WithArtifactDigest(subject.Algorithm, sum), err
}

// checkKey checks that key made the signature over the bytes.
func checkKey(s sealed, subject v1.Hash, key crypto.PublicKey) error {
	verifier, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return err
	}
	always := root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return always, nil })
	checker, err := sigstore.NewVerifier(material, sigstore.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	bytes, err := s.signed(subject)
	if err != nil {
		return err
	}
	_, err = checker.Verify(s.bundle, sigstore.NewPolicy(bytes, sigstore.WithKey()))
	return err
}

// CheckRoot returns what is wrong with a trusted root of sigstore.
func CheckRoot(trustedRoot []byte) error {
	material, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err == nil && len(material.FulcioCertificateAuthorities()) == 0 {
		err = errors.New("it names no certificate authority")
	}
	if err != nil {
		return fmt.Errorf("reading the trusted root: %w", err)
	}
	return nil
}

// checkCertificate checks certificate, log, time and signature, and returns the owner of
// the certificate.
func checkCertificate(s sealed, subject v1.Hash, trustedRoot []byte) (Signer, error) {
	material, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return Signer{}, fmt.Errorf("reading the trusted root: %w", err)
	}
	checker, err := sigstore.NewVerifier(material, requirements(material)...)
	if err != nil {
		return Signer{}, fmt.Errorf("reading the trusted root: %w", err)
	}
	bytes, err := s.signed(subject)
	if err != nil {
		return Signer{}, err
	}
	result, err := checker.Verify(s.bundle, sigstore.NewPolicy(bytes, sigstore.WithoutIdentitiesUnsafe())) // Trust.identity enforces them
	if err != nil {
		return Signer{}, fmt.Errorf("%w: %s", ErrUnproven, inWords(err))
	}
	owner := result.Signature.Certificate
	signer := Signer{Issuer: owner.Issuer, Subject: owner.SubjectAlternativeName}
	for _, seen := range result.VerifiedTimestamps {
		if signer.Time.IsZero() || seen.Timestamp.Before(signer.Time) {
			signer.Time = seen.Timestamp.UTC()
		}
	}
	return signer, nil
}

// requirements are what a certificate needs: all that the trusted root names.
func requirements(material root.TrustedMaterial) []sigstore.VerifierOption {
	need := []sigstore.VerifierOption{sigstore.WithObserverTimestamps(1)}
	if len(material.RekorLogs()) > 0 {
		need = append(need, sigstore.WithTransparencyLog(1))
	}
	if len(material.CTLogs()) > 0 {
		need = append(need, sigstore.WithSignedCertificateTimestamps(1))
	}
	return need
}

// inWords says what a check of sigstore found wrong.
func inWords(err error) string {
	checks := []struct{ prefix, words string }{
		{"failed to verify log inclusion: ", "its log entry is not one for this signature in a trusted log"},
		{"failed to verify timestamps: ", "no trusted log or timestamp authority says when it was signed"},
		{"failed to verify leaf certificate: ", "its certificate is not of a trusted authority, or was not valid when it was signed"},
		{"failed to verify signed certificate timestamp: ", "its certificate is in no trusted certificate log"},
		{"failed to verify signature: ", "the signature is not over these bytes"},
	}
	for _, c := range checks {
		if reason, ok := strings.CutPrefix(err.Error(), c.prefix); ok {
			return c.words + " (" + reason + ")"
		}
	}
	return err.Error()
}
