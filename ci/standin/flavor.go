// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
)

// writeFlavor writes the flavor of the stand-in: that of the distribution, with another
// key.
func (m maker) writeFlavor(key *signingKey) error {
	text, err := os.ReadFile(filepath.Join(m.flavors, m.name, "flavor.yaml"))
	if err != nil {
		return err
	}
	own, keyring, err := withKey(text, key.fingerprint())
	if err != nil {
		return fmt.Errorf("the flavor %s: %w", m.name, err)
	}
	public, err := key.public()
	if err != nil {
		return err
	}
	dir := filepath.Join(m.dir, "flavor")
	return errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "flavor.yaml"), own, 0o644),
		os.WriteFile(filepath.Join(dir, keyring), public, 0o644))
}

// withKey replaces the keys of a flavor's archive, and nothing else. keyring is the name of
// the file with the key.
func withKey(text []byte, fingerprint string) (own []byte, keyring string, err error) {
	before, err := flavors.Parse("flavor.yaml", text)
	if err != nil {
		return nil, "", err
	}
	keys := "keys: [" + strings.Join(before.Base.Archive.Keys, ", ") + "]"
	if strings.Count(string(text), keys) != 1 {
		return nil, "", fmt.Errorf("it has no line %q", keys)
	}
	own = []byte(strings.Replace(string(text), keys, "keys: ["+fingerprint+"]", 1))
	after, err := flavors.Parse("flavor.yaml", own)
	if err != nil {
		return nil, "", err
	}
	if err := sameButKeys(*before, *after); err != nil {
		return nil, "", err
	}
	return own, before.Base.Archive.Keyring, nil
}

// sameButKeys compares all that can be said in a flavor.
func sameButKeys(a, b flavors.Flavor) error {
	a.Base.Archive.Keys, b.Base.Archive.Keys = nil, nil
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		field := x.Type().Field(i)
		if field.IsExported() && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return fmt.Errorf("BUG: the stand-in's flavor differs in %s", field.Name)
		}
	}
	return nil
}
