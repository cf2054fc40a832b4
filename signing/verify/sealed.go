// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Types in a DSSE envelope that holds a statement.
const (
	statementPayload = "application/vnd.in-toto+json"
	statementV1      = "https://in-toto.io/Statement/v1"
	statementV01     = "https://in-toto.io/Statement/v0.1"
)

// maxSubjects is how many things a statement may be about.
const maxSubjects = 1024

// A sealed is evidence that was read, and not yet checked: anybody can have made it.
type sealed struct {
	proof            // the signature and what comes with it
	says  *Statement // nil if it is a signature over plain bytes
	bytes []byte     // these bytes, if they are in the evidence
	of    v1.Hash    // what it is about, if says is nil
}

// open reads evidence of any format.
func open(e Evidence) (sealed, error) {
	if len(e.Data) > MaxAttestation {
		return sealed{}, fmt.Errorf("%w: it has %d bytes, more than %d", ErrMalformed, len(e.Data), MaxAttestation)
	}
	var s sealed
	var err error
	switch e.MediaType {
	case LegacyType:
		s, err = openLegacy(e)
	case EnvelopeType:
		s, err = openEnvelope(e)
	default:
		s, err = openBundle(e.Data)
	}
	if err != nil {
		return sealed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// about checks that s is about subject.
func (s sealed) about(subject v1.Hash) error {
	if raw, err := hex.DecodeString(subject.Hex); err != nil || subject.Algorithm != "sha256" || len(raw) != 32 {
		return fmt.Errorf("%q is no sha256 digest of an image", subject)
	}
	of := []v1.Hash{s.of}
	if s.says != nil {
		of = s.says.Subjects
	}
	if !slices.Contains(of, subject) {
		return fmt.Errorf("%w: it is about %v, not %s", ErrOtherSubject, of[:min(len(of), 3)], subject)
	}
	return nil
}

// A simpleSigning is the signed document of cosign's old format:
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.
type simpleSigning struct {
	Critical struct {
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
}

// legacyDocument is the type of the document that cosign signs.
const legacyDocument = "cosign container image signature"

func openLegacy(e Evidence) (sealed, error) {
	var doc simpleSigning
	if err := json.Unmarshal(e.Data, &doc); err != nil {
		return sealed{}, fmt.Errorf("the signed document: %w", err)
	}
	if doc.Critical.Type != legacyDocument {
		return sealed{}, fmt.Errorf("the signed document is a %q, not a %q", doc.Critical.Type, legacyDocument)
	}
	of, err := v1.NewHash(doc.Critical.Image.Digest)
	if err != nil {
		return sealed{}, fmt.Errorf("the signed document: %w", err)
	}
	proof, err := legacySignature(e)
	return sealed{proof: proof, bytes: e.Data, of: of}, err
}

// openEnvelope reads an attestation of the old format: the layer is the envelope.
func openEnvelope(e Evidence) (sealed, error) {
	var envelope struct {
		PayloadType string `json:"payloadType"`
		Payload     string `json:"payload"`
		Signatures  []struct {
			Sig string `json:"sig"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(e.Data, &envelope); err != nil {
		return sealed{}, fmt.Errorf("the envelope: %w", err)
	}
	if n := len(envelope.Signatures); n != 1 {
		return sealed{}, fmt.Errorf("the envelope has %d signatures; want one", n)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return sealed{}, fmt.Errorf("the envelope's payload: %w", err)
	}
	signature, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		return sealed{}, fmt.Errorf("the envelope's signature: %w", err)
	}
	says, err := parseStatement(envelope.PayloadType, payload)
	if err != nil {
		return sealed{}, err
	}
	proof, err := legacyEnvelope(e, envelope.PayloadType, payload, signature)
	return sealed{proof: proof, says: says}, err
}

// parseStatement reads a statement of in-toto.
func parseStatement(payloadType string, payload []byte) (*Statement, error) {
	if payloadType != statementPayload {
		return nil, fmt.Errorf("the envelope holds %q; want %q", payloadType, statementPayload)
	}
	var doc struct {
		Type    string `json:"_type"`
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if err := json.NewDecoder(bytes.NewReader(payload)).Decode(&doc); err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	switch {
	case doc.Type != statementV1 && doc.Type != statementV01:
		return nil, fmt.Errorf("the statement is of type %q; want %q", doc.Type, statementV1)
	case len(doc.Subject) > maxSubjects:
		return nil, fmt.Errorf("the statement is about %d things, more than %d", len(doc.Subject), maxSubjects)
	}
	says := &Statement{PredicateType: doc.PredicateType, Predicate: doc.Predicate}
	for _, subject := range doc.Subject {
		if sum, ok := subject.Digest["sha256"]; ok {
			says.Subjects = append(says.Subjects, v1.Hash{Algorithm: "sha256", Hex: sum})
		}
	}
	return says, nil
}
