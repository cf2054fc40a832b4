// SPDX-License-Identifier: Apache-2.0

package signingtest

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigstore/cosign/v2/pkg/cosign"
)

// ImportedKey writes a private key as `cosign import-key-pair` does, without a password, and
// returns the name of the file.
func ImportedKey(t *testing.T, key crypto.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain.pem")
	if err := os.WriteFile(plain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := cosign.ImportKeyPair(plain, func(bool) ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "imported.key")
	if err := os.WriteFile(name, keys.PrivateBytes, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
