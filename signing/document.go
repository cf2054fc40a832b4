// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// Types of documents that are signed.
const (
	statementPayload = "application/vnd.in-toto+json"
	statementType    = "https://in-toto.io/Statement/v1"
	legacyDocument   = "cosign container image signature"
)

type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Digest map[string]string `json:"digest"`
}

func newStatement(image v1.Hash, predicateType string, predicate json.RawMessage) ([]byte, error) {
	switch {
	case image.Algorithm != "sha256":
		return nil, fmt.Errorf("%q is no sha256 digest", image)
	case predicateType == "":
		return nil, badInput(errors.New("a statement needs a type, such as https://example.org/tested/v1"))
	case !json.Valid(predicate):
		return nil, badInput(errors.New("the statement is no JSON"))
	}
	return json.Marshal(statement{
		Type: statementType, PredicateType: predicateType, Predicate: predicate,
		Subject: []subject{{map[string]string{image.Algorithm: image.Hex}}},
	})
}

// simpleSigning is the document that a signature of the old format is over.
func simpleSigning(repository string, image v1.Hash) ([]byte, error) {
	type m = map[string]any
	return json.Marshal(m{
		"critical": m{
			"identity": m{"docker-reference": repository},
			"image":    m{"docker-manifest-digest": image.String()},
			"type":     legacyDocument,
		},
		"optional": nil,
	})
}

// toLegacy writes a signature over a document in the old format.
func toLegacy(b *protobundle.Bundle, document []byte) (verify.Evidence, error) {
	notes, err := legacyNotes(b.GetVerificationMaterial())
	if err != nil {
		return verify.Evidence{}, err
	}
	notes[verify.SignatureAnnotation] = base64.StdEncoding.EncodeToString(b.GetMessageSignature().GetSignature())
	return verify.Evidence{MediaType: verify.LegacyType, Annotations: notes, Data: document}, nil
}

// toLegacyAttestation writes a statement in the old format: the layer is the envelope.
func toLegacyAttestation(b *protobundle.Bundle, predicateType string) (verify.Evidence, error) {
	notes, err := legacyNotes(b.GetVerificationMaterial())
	if err != nil {
		return verify.Evidence{}, err
	}
	notes[verify.SignatureAnnotation] = "" // it is in the envelope
	notes["predicateType"] = predicateType
	data, err := json.Marshal(newEnvelope(b.GetDsseEnvelope()))
	return verify.Evidence{MediaType: verify.EnvelopeType, Annotations: notes, Data: data}, err
}

type envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     []byte              `json:"payload"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

func newEnvelope(e *protodsse.Envelope) envelope {
	out := envelope{PayloadType: e.GetPayloadType(), Payload: e.GetPayload()}
	for _, s := range e.GetSignatures() {
		out.Signatures = append(out.Signatures, envelopeSignature{s.GetKeyid(), s.GetSig()})
	}
	return out
}

// legacyNotes are the annotations that say who signed, and when.
func legacyNotes(m *protobundle.VerificationMaterial) (map[string]string, error) {
	notes := map[string]string{}
	cert := m.GetCertificate().GetRawBytes()
	if cert == nil {
		return notes, nil
	}
	notes[verify.CertificateAnnotation] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	for _, entry := range m.GetTlogEntries() {
		promise := entry.GetInclusionPromise().GetSignedEntryTimestamp()
		if len(promise) == 0 {
			continue // a log of version 2 promises nothing: the timestamp has to do
		}
		text, err := json.Marshal(map[string]any{
			"SignedEntryTimestamp": promise,
			"Payload": map[string]any{
				"body": entry.GetCanonicalizedBody(), "integratedTime": entry.GetIntegratedTime(),
				"logIndex": entry.GetLogIndex(), "logID": hex.EncodeToString(entry.GetLogId().GetKeyId()),
			},
		})
		if err != nil {
			return nil, err
		}
		notes[verify.LogAnnotation] = string(text)
	}
	for _, seen := range m.GetTimestampVerificationData().GetRfc3161Timestamps() {
		text, err := json.Marshal(map[string]any{"SignedRFC3161Timestamp": seen.GetSignedTimestamp()})
		if err != nil {
			return nil, err
		}
		notes[verify.TimeAnnotation] = string(text)
	}
	return notes, nil
}

func compact(text []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, text)
	return out.Bytes(), err
}

func digestOf(data []byte) (v1.Hash, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(data))
	return digest, err
}
