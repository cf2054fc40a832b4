// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/bounded"
	"github.com/kairos-build/kairos-build/signing/verify/media"
)

// kinds are the media types of evidence, for a byte of a fuzzer.
var kinds = []string{BundleType, LegacyType, EnvelopeType, ""}

// FuzzEvidence reads evidence as a registry may have it. What is accepted must be what the
// key signed: about the image, and with the predicate that was signed.
func FuzzEvidence(f *testing.F) {
	key := newKey(f)
	for _, e := range []Evidence{
		bundleOf(f, key, statement(SignaturePredicate, image)), bundleOf(f, key, statement("https://example.org/tested", image)),
		bundleOf(f, newKey(f), statement(SignaturePredicate, image)), bundleOf(f, key, statement(SignaturePredicate, other)),
		legacyOf(f, key, image), legacyOf(f, key, other), legacyAttestation(f, key, statement("https://example.org/tested", image)),
	} {
		f.Add(byte(index(e.MediaType)), e.Data, e.Annotations[SignatureAnnotation], "", "", "")
	}
	f.Add(byte(1), []byte(`{"critical":{"image":{"docker-manifest-digest":"`+image.String()+`"},"type":"cosign container image signature"}}`), "AA==",
		"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", `{"SignedEntryTimestamp":"AA==","Payload":{"body":"e30=","logID":"00"}}`, `{"SignedRFC3161Timestamp":"AA=="}`)
	trust := Trust{Keys: nil}
	trust.Keys = append(trust.Keys, key.Public())
	f.Fuzz(func(t *testing.T, kind byte, data []byte, signature, certificate, log, stamp string) {
		e := Evidence{MediaType: kinds[int(kind)%len(kinds)], Data: data, Annotations: map[string]string{
			SignatureAnnotation: signature, CertificateAnnotation: certificate, LogAnnotation: log, TimeAnnotation: stamp,
		}}
		bounded.Run(t, 64<<20, func() { judge(t, trust, e) })
	})
}

func index(mediaType string) int {
	for i, kind := range kinds {
		if kind == mediaType {
			return i
		}
	}
	return len(kinds) - 1
}

// judge checks what a Trust accepts. Only statements and documents of the seeds are signed.
func judge(t *testing.T, trust Trust, e Evidence) {
	for _, digest := range []string{image.Hex, other.Hex} {
		subject := image
		subject.Hex = digest
		if signer, err := trust.Signature(subject, e); err == nil && (signer.Key == "" || !signedOver(e, digest)) {
			t.Errorf("accepted for %s: %+v", digest, signer)
		}
		says, _, err := trust.Attestation(subject, "", e)
		if err != nil {
			continue
		}
		if len(says.Subjects) != 1 || says.Subjects[0] != subject || string(says.Predicate) != `{"checks":3}` {
			t.Errorf("accepted for %s: %+v", digest, says)
		}
	}
}

// signedOver tells whether the evidence names the digest in any of its encodings.
func signedOver(e Evidence, digest string) bool {
	s, err := open(e)
	return err == nil && (s.says != nil && s.says.Subjects[0].Hex == digest || s.says == nil && s.of.Hex == digest)
}

// FuzzParseKeys reads keys as people paste them into a policy. A key that is read can be
// written, and is then the same.
func FuzzParseKeys(f *testing.F) {
	for range 2 {
		f.Add(public(f))
	}
	f.Add(append(public(f), public(f)...))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		for _, key := range keys {
			id, err := Fingerprint(key)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKIXPublicKey(key)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseKeys(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			if err != nil || len(again) != 1 {
				t.Fatalf("%s is not read again: %v", id, err)
			}
			if same, err := Fingerprint(again[0]); err != nil || same != id {
				t.Errorf("%s became %s: %v", id, same, err)
			}
		}
	})
}

// public is a new public key, as cosign.pub has it.
func public(t testing.TB) []byte {
	der, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// FuzzLayers reads the manifest of evidence.
func FuzzLayers(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"mediaType":"` + BundleType + `","size":3,"digest":"` + image.String() + `"}],"subject":{"digest":"` + image.String() + `","size":1,"mediaType":"x"}}`))
	f.Add([]byte(`{"schemaVersion":2,"layers":[` + strings.Repeat(`{"mediaType":"`+LegacyType+`","digest":"`+image.String()+`"},`, MaxLayers) + `{"mediaType":"` + LegacyType + `"}]}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		layers, err := Layers(manifest, image)
		if err != nil {
			return
		}
		if len(layers) > MaxLayers || bytes.Contains(manifest, []byte(other.Hex)) && len(manifest) > MaxManifest {
			t.Errorf("%d layers", len(layers))
		}
		for _, l := range layers {
			if l.Size < 0 || l.Size > MaxAttestation || !media.IsEvidence(string(l.MediaType)) {
				t.Errorf("%+v is no evidence of a size that is read", l)
			}
		}
	})
}
