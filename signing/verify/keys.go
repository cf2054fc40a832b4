// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// minRSA is the smallest size of an RSA key, in bits.
const minRSA = 2048

// ParseKeys reads public keys, as cosign.pub has one: PEM blocks of type PUBLIC KEY.
func ParseKeys(text []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		key, err := parseKey(block)
		if err != nil {
			return nil, err
		}
		keys, text = append(keys, key), rest
	}
	switch {
	case strings.TrimSpace(string(text)) != "":
		return nil, errors.New("there is text that is not a public key: want -----BEGIN PUBLIC KEY----- and so on, as in a file cosign.pub")
	case len(keys) == 0:
		return nil, errors.New("there is no public key: want -----BEGIN PUBLIC KEY----- and so on, as in a file cosign.pub")
	}
	return keys, nil
}

func parseKey(block *pem.Block) (crypto.PublicKey, error) {
	switch {
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return nil, errors.New("this is a private key: give the public one, usually in a file that ends in .pub, and keep the private one secret")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("this is a %s: want a PUBLIC KEY", block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	return key, checkKind(key)
}

func checkKind(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return fmt.Errorf("the RSA key has %d bits; want %d or more", bits, minRSA)
		}
		return nil
	}
	return fmt.Errorf("keys of type %T are not supported; want ECDSA, Ed25519 or RSA", key)
}

// Fingerprint names a key: "sha256:" and the hexadecimal hash of its PKIX form.
func Fingerprint(key crypto.PublicKey) (string, error) {
	if err := checkKind(key); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
