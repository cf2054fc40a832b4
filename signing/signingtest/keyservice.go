// SPDX-License-Identifier: Apache-2.0

package signingtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// alias is the name of the key in a KeyService.
const alias = "alias/release"

// A KeyService answers as AWS's key management service: the actions DescribeKey, GetPublicKey and
// Sign of a key of the kind ECC_NIST_P256, in the protocol AWS JSON 1.1. Its signatures are real.
type KeyService struct {
	Key   string // reference to the key, by its alias
	Other string // reference to a key that is not there

	t   *testing.T
	key *ecdsa.PrivateKey
	mu  sync.Mutex
	// asked counts the actions.
	asked map[string]int
}

// Asked is how often an action was asked for.
func (s *KeyService) Asked(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[action]
}

// NewKeyService starts a key service. This process finds it and trusts its certificate until the
// test ends.
func NewKeyService(t *testing.T) *KeyService {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &KeyService{t: t, key: key, asked: map[string]int{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	s.Key = "awskms://" + strings.TrimPrefix(server.URL, "https://") + "/" + alias
	s.Other = s.Key + "-2"
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CA_BUNDLE": authority,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return s
}

// ServeHTTP answers an action.
func (s *KeyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		KeyID            string `json:"KeyId"`
		Message          []byte `json:"Message"`
		MessageType      string `json:"MessageType"`
		SigningAlgorithm string `json:"SigningAlgorithm"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.refuse(w, "SerializationException", err.Error())
		return
	}
	if in.KeyID != alias {
		s.refuse(w, "NotFoundException", "Alias arn:aws:kms:us-east-1:111122223333:"+in.KeyID+" is not found.")
		return
	}
	const id, algorithm = "1234abcd-12ab-34cd-56ef-1234567890ab", "ECDSA_SHA_256"
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	s.mu.Lock()
	s.asked[action]++
	s.mu.Unlock()
	switch action {
	case "DescribeKey":
		s.answer(w, map[string]any{"KeyMetadata": map[string]any{"KeyId": id, "Enabled": true, "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": []string{algorithm}}})
	case "GetPublicKey":
		der, err := x509.MarshalPKIXPublicKey(s.key.Public())
		if err != nil {
			s.refuse(w, "KMSInternalException", err.Error())
			return
		}
		s.answer(w, map[string]any{"KeyId": id, "KeyUsage": "SIGN_VERIFY", "PublicKey": der, "SigningAlgorithms": []string{algorithm}})
	case "Sign":
		if in.MessageType != "DIGEST" || in.SigningAlgorithm != algorithm || len(in.Message) != 32 {
			s.refuse(w, "ValidationException", fmt.Sprintf("%s of %d bytes with %s", in.MessageType, len(in.Message), in.SigningAlgorithm))
			return
		}
		signature, err := ecdsa.SignASN1(rand.Reader, s.key, in.Message)
		if err != nil {
			s.refuse(w, "KMSInternalException", err.Error())
			return
		}
		s.answer(w, map[string]any{"KeyId": id, "Signature": signature, "SigningAlgorithm": algorithm})
	default:
		s.refuse(w, "UnknownOperationException", action)
	}
}

// answer sends the answer to an action.
func (s *KeyService) answer(w http.ResponseWriter, body any) { s.send(w, http.StatusOK, body) }

// refuse sends an error, as AWS spells them.
func (s *KeyService) refuse(w http.ResponseWriter, kind, message string) {
	s.send(w, http.StatusBadRequest, map[string]string{"__type": kind, "message": message})
}

func (s *KeyService) send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.t.Errorf("answering as a key service: %v", err)
	}
}
