// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// A signingKey signs the archive.
type signingKey struct{ entity *openpgp.Entity }

// openKey reads the private key in a file, which it makes if there is none: a stand-in that
// is made again has the same key.
func openKey(file string) (*signingKey, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil || len(keys) != 1 {
		return nil, fmt.Errorf("%s has %d keys, want one: remove it, and a new one is made: %w", file, len(keys), err)
	}
	return &signingKey{keys[0]}, nil
}

func makeKey(file string) (*signingKey, error) {
	entity, err := openpgp.NewEntity("Stand-in Archive Signing Key", "", "standin@example.org", nil)
	if err != nil {
		return nil, err
	}
	var private bytes.Buffer
	if err := entity.SerializePrivate(&private, nil); err != nil {
		return nil, err
	}
	return &signingKey{entity}, errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, private.Bytes(), 0o600))
}

func (k *signingKey) fingerprint() string {
	return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint)
}

// public is the public key, binary.
func (k *signingKey) public() ([]byte, error) {
	var out bytes.Buffer
	err := k.entity.Serialize(&out)
	return out.Bytes(), err
}

// sign is a text with its signature, as an InRelease is.
func (k *signingKey) sign(text string) ([]byte, error) {
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, k.entity.PrivateKey, nil)
	if err != nil {
		return nil, err
	}
	_, err = w.Write([]byte(text))
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
