// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// Annotations of a layer in the old format of cosign.
const (
	SignatureAnnotation   = "dev.cosignproject.cosign/signature" // base64
	CertificateAnnotation = "dev.sigstore.cosign/certificate"    // PEM; none with a key
	ChainAnnotation       = "dev.sigstore.cosign/chain"          // PEM
	LogAnnotation         = "dev.sigstore.cosign/bundle"         // JSON: a promise of the log
	TimeAnnotation        = "dev.sigstore.cosign/rfc3161timestamp"
)

// oldBundle is the version whose rules fit the old format: a log entry may come with the
// promise of the log in place of a proof.
const oldBundle = "application/vnd.dev.sigstore.bundle+json;version=0.1"

// legacySignature makes a proof of a layer whose annotations have the signature.
func legacySignature(e Evidence) (proof, error) {
	sig, err := base64.StdEncoding.DecodeString(e.Annotations[SignatureAnnotation])
	if err != nil || len(sig) == 0 {
		return proof{}, fmt.Errorf("the annotation %s has no signature", SignatureAnnotation)
	}
	material, err := legacyMaterial(e.Annotations)
	if err != nil {
		return proof{}, err
	}
	sum := sha256.Sum256(e.Data)
	return newLegacy(&protobundle.Bundle{
		MediaType: oldBundle, VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     sig,
		}},
	})
}

// legacyEnvelope makes a proof of a layer that is an envelope.
func legacyEnvelope(e Evidence, payloadType string, payload, sig []byte) (proof, error) {
	material, err := legacyMaterial(e.Annotations)
	if err != nil {
		return proof{}, err
	}
	return newLegacy(&protobundle.Bundle{
		MediaType: oldBundle, VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: payloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
}

func newLegacy(b *protobundle.Bundle) (proof, error) {
	checked, err := bundle.NewBundle(b)
	return proof{bundle: checked, legacy: true}, err
}

// legacyMaterial reads the annotations that say who signed, and when.
func legacyMaterial(annotations map[string]string) (*protobundle.VerificationMaterial, error) {
	text := annotations[CertificateAnnotation]
	if text == "" {
		return &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{},
		}}, nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("the annotation %s has no certificate", CertificateAnnotation)
	}
	m := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: block.Bytes},
	}}
	var err error
	if m.TlogEntries, err = legacyLog(annotations[LogAnnotation]); err != nil {
		return nil, fmt.Errorf("the annotation %s: %w", LogAnnotation, err)
	}
	if m.TimestampVerificationData, err = legacyTime(annotations[TimeAnnotation]); err != nil {
		return nil, fmt.Errorf("the annotation %s: %w", TimeAnnotation, err)
	}
	return m, nil
}

// legacyLog reads the entry of the log, with the log's promise to keep it.
func legacyLog(text string) ([]*protorekor.TransparencyLogEntry, error) {
	if text == "" {
		return nil, nil
	}
	var doc struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	var kind struct{ Kind, APIVersion string }
	if err := json.Unmarshal(doc.Payload.Body, &kind); err != nil {
		return nil, fmt.Errorf("the entry: %w", err)
	}
	id, err := hex.DecodeString(doc.Payload.LogID)
	if err != nil || len(doc.SignedEntryTimestamp) == 0 {
		return nil, errors.New("it has no log, or no promise of it")
	}
	return []*protorekor.TransparencyLogEntry{{
		LogIndex: doc.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id},
		KindVersion:    &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		IntegratedTime: doc.Payload.IntegratedTime, CanonicalizedBody: doc.Payload.Body,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: doc.SignedEntryTimestamp},
	}}, nil
}

// legacyTime reads the timestamp of an authority.
func legacyTime(text string) (*protobundle.TimestampVerificationData, error) {
	if text == "" {
		return nil, nil
	}
	var doc struct{ SignedRFC3161Timestamp []byte }
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	return &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: doc.SignedRFC3161Timestamp}},
	}, nil
}
