// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/recipes"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// readPolicy reads a user's policy as a node does, and returns the files that it brings into
// an image. It names files by their paths in the image; here they lie beside it, with the
// same last names.
func readPolicy(file string) (*policy.Policy, []recipes.File, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("--policy: %w", err)
	}
	files := []recipes.File{{Path: strings.TrimPrefix(layout.ImagePolicy, "/"), Data: data}}
	p, err := policy.Parse(file, data, func(path string) ([]byte, error) {
		if !strings.HasPrefix(path, filepath.Dir(layout.ImagePolicy)+"/") || path == layout.ImagePolicy {
			return nil, fmt.Errorf("%s is not below %s", path, filepath.Dir(layout.ImagePolicy))
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(file), filepath.Base(path)))
		if err == nil {
			files = append(files, recipes.File{Path: strings.TrimPrefix(path, "/"), Data: text})
		}
		return text, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("--policy: %w", err)
	}
	return p, unique(files), nil
}

// unique leaves out files that are there already: two entries may name the same.
func unique(files []recipes.File) (list []recipes.File) {
	seen := map[string]bool{}
	for _, f := range files {
		if !seen[f.Path] {
			list = append(list, f)
		}
		seen[f.Path] = true
	}
	return list
}

// policyFor is the policy of an image that a key signs: it trusts the key, for the repository
// that the image is pushed to and for images in files, or everywhere if it is not pushed. It
// depends on the key alone, not on its name or place.
func policyFor(key crypto.PublicKey, repository string) ([]recipes.File, error) {
	id, err := verify.Fingerprint(key)
	if err != nil {
		return nil, err
	}
	k := policy.Key{Name: "key-" + strings.TrimPrefix(id, "sha256:")[:12], Key: key}
	if repository != "" {
		k.Repositories = []string{repository, policy.Files}
	}
	data, err := (&policy.Policy{Keys: []policy.Key{k}}).Encode("")
	if err != nil {
		return nil, err
	}
	return []recipes.File{{Path: strings.TrimPrefix(layout.ImagePolicy, "/"), Data: data}}, nil
}

// keyOf is the public key of a signer; nil if it is keyless.
func keyOf(pem []byte) (crypto.PublicKey, error) {
	if pem == nil {
		return nil, nil
	}
	keys, err := verify.ParseKeys(pem)
	if err == nil && len(keys) != 1 {
		err = errors.New("BUG: a signer with several public keys")
	}
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}
