// SPDX-License-Identifier: Apache-2.0

// Package signingtest is a sigstore on this machine, for tests: a certificate authority, a
// transparency log and a timestamp authority, with the trusted root that names them. They
// answer over HTTP as the real ones do, and each can be switched off.
package signingtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"         // entries that the log takes
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1" // entries that the log takes
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// A Sigstore is the three services.
type Sigstore struct {
	Fulcio, Rekor, TSA string // addresses
	// Now is the time of the services.
	Now func() time.Time

	t        *testing.T
	rekor    *ca.VirtualSigstore
	log      int64 // the last entry of the log
	rootCert *x509.Certificate
	fulcio   authority
	stamps   authority
	stampCA  *x509.Certificate // it certified stamps
}

// An authority signs with the key of a certificate.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New starts the services; they end with the test.
func New(t *testing.T) *Sigstore {
	t.Helper()
	s := &Sigstore{t: t, Now: time.Now, log: 1000}
	var rootKey *ecdsa.PrivateKey
	var err error
	if s.rekor, err = ca.NewVirtualSigstore(); err != nil {
		t.Fatal(err)
	}
	if s.rootCert, rootKey, err = ca.GenerateRootCa(); err != nil {
		t.Fatal(err)
	}
	if s.fulcio.cert, s.fulcio.key, err = ca.GenerateFulcioIntermediate(s.rootCert, rootKey); err != nil {
		t.Fatal(err)
	}
	var stampRoot authority
	if stampRoot.cert, stampRoot.key, err = ca.GenerateTSAIntermediate(s.rootCert, rootKey); err != nil {
		t.Fatal(err)
	}
	if s.stamps.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.stampCA = stampRoot.cert
	s.stamps.cert, err = ca.GenerateTSALeafCert(time.Now().Add(-5*time.Minute), s.stamps.key, stampRoot.cert, stampRoot.key)
	if err != nil {
		t.Fatal(err)
	}
	s.Fulcio = s.serve("/api/v2/signingCert", s.certify)
	s.Rekor = s.serve("/api/v1/log/entries", s.enter)
	s.TSA = s.serve("/api/v1/timestamp", s.stamp) + "/api/v1/timestamp"
	return s
}

// serve answers requests for one path, and refuses if answer returns an error.
func (s *Sigstore) serve(path string, answer func(http.ResponseWriter, *http.Request) error) string {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		if err := answer(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /api/v1/log", func(http.ResponseWriter, *http.Request) {}) // how the log is
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	return server.URL
}

// Token is an identity token of subject, which issuer vouches for.
func (s *Sigstore) Token(issuer, subject string, end time.Time) string {
	part := func(doc any) string {
		text, err := json.Marshal(doc)
		if err != nil {
			s.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	claims := map[string]any{"iss": issuer, "sub": subject, "aud": "sigstore", "exp": end.Unix()}
	return part(map[string]string{"alg": "none"}) + "." + part(claims) + "." + part("not signed")
}

// Root is the trusted root. Without logs, no log entry is wanted; without times, no
// timestamp authority is known.
func (s *Sigstore) Root(logs, times bool) []byte {
	authorities := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		URI: s.Fulcio, Root: s.rootCert, Intermediates: []*x509.Certificate{s.fulcio.cert},
		ValidityPeriodStart: time.Now().Add(-5 * time.Hour), ValidityPeriodEnd: time.Now().Add(5 * time.Hour),
	}}
	var stamps []root.TimestampingAuthority
	if times {
		stamps = append(stamps, &root.SigstoreTimestampingAuthority{
			URI: s.TSA, Root: s.rootCert, Intermediates: []*x509.Certificate{s.stampCA}, Leaf: s.stamps.cert,
			ValidityPeriodStart: time.Now().Add(-5 * time.Hour), ValidityPeriodEnd: time.Now().Add(5 * time.Hour),
		})
	}
	known := map[string]*root.TransparencyLog{}
	if logs {
		for id, log := range s.rekor.RekorLogs() {
			raw, err := hex.DecodeString(id)
			if err != nil {
				s.t.Fatal(err)
			}
			log.ID = raw
			known[id] = log
		}
	}
	return s.marshalRoot(authorities, nil, stamps, known)
}

// RootWithCertificateLog is Root with a log that certificates must be in; ours are in none.
func (s *Sigstore) RootWithCertificateLog() []byte {
	authorities := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		URI: s.Fulcio, Root: s.rootCert, Intermediates: []*x509.Certificate{s.fulcio.cert},
		ValidityPeriodStart: time.Now().Add(-5 * time.Hour), ValidityPeriodEnd: time.Now().Add(5 * time.Hour),
	}}
	logs := map[string]*root.TransparencyLog{}
	for id, log := range s.rekor.RekorLogs() {
		log.ID, _ = hex.DecodeString(id)
		logs[id] = log
	}
	return s.marshalRoot(authorities, logs, nil, logs)
}

func (s *Sigstore) marshalRoot(authorities []root.CertificateAuthority, certLogs map[string]*root.TransparencyLog, stamps []root.TimestampingAuthority, logs map[string]*root.TransparencyLog) []byte {
	s.t.Helper()
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, certLogs, stamps, logs)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := trusted.MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// certify is the certificate authority: it believes each token.
func (s *Sigstore) certify(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		PublicKeyRequest struct {
			PublicKey struct {
				Content string `json:"content"`
			} `json:"publicKey"`
		} `json:"publicKeyRequest"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(request.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		return fmt.Errorf("no key in %+v", request)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	cert, err := s.leaf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), key)
	if err != nil {
		return err
	}
	chain := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))}
	return json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

func (s *Sigstore) leaf(token string, key crypto.PublicKey) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("no token: %q", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil, err
	}
	subject, err := url.Parse(claims.Subject)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(s.Now().UnixNano()), URIs: []*url.URL{subject},
		NotBefore: s.Now(), NotAfter: s.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(claims.Issuer)}},
	}
	return x509.CreateCertificate(rand.Reader, template, s.fulcio.cert, key, s.fulcio.key)
}

// enter is the log: it takes each entry.
func (s *Sigstore) enter(w http.ResponseWriter, r *http.Request) error {
	proposed, err := models.UnmarshalProposedEntry(r.Body, runtime.JSONConsumer())
	if err != nil {
		return err
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return err
	}
	body, err := entry.Canonicalize(context.Background())
	if err != nil {
		return err
	}
	logged, err := s.logged(body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	uuid := hex.EncodeToString(sum[:])
	w.Header().Set("ETag", uuid)
	w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(map[string]any{uuid: logged})
}

// logged is the log's answer about an entry.
func (s *Sigstore) logged(body []byte) (*models.LogEntryAnon, error) {
	id, err := s.rekor.RekorLogID()
	if err != nil {
		return nil, err
	}
	s.log++
	at, index, text := s.Now().Unix(), s.log, base64.StdEncoding.EncodeToString(body)
	promise, err := s.rekor.RekorSignPayload(tlog.RekorPayload{LogID: id, IntegratedTime: at, LogIndex: index, Body: text})
	if err != nil {
		return nil, err
	}
	proof, err := s.rekor.GetInclusionProof(body)
	if err != nil {
		return nil, err
	}
	return &models.LogEntryAnon{
		Body: text, IntegratedTime: &at, LogIndex: &index, LogID: &id,
		Verification: &models.LogEntryAnonVerification{SignedEntryTimestamp: promise, InclusionProof: proof},
	}, nil
}

// stamp is the timestamp authority.
func (s *Sigstore) stamp(w http.ResponseWriter, r *http.Request) error {
	var text bytes.Buffer
	if _, err := io.Copy(&text, r.Body); err != nil {
		return err
	}
	request, err := timestamp.ParseRequest(text.Bytes())
	if err != nil {
		return err
	}
	answer, err := (&timestamp.Timestamp{
		HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: s.Now(),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, ExtraExtensions: request.Extensions,
	}).CreateResponseWithOpts(s.stamps.cert, s.stamps.key, crypto.SHA256)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	_, err = w.Write(answer)
	return err
}
