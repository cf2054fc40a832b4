// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

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
	if own, err = replaceKeys(text, fingerprint); err != nil {
		return nil, "", err
	}
	after, err := flavors.Parse("flavor.yaml", own)
	if err != nil {
		return nil, "", err
	}
	if err := sameButKeys(*before, *after); err != nil {
		return nil, "", err
	}
	return own, before.Base.Archive.Keyring, nil
}

// replaceKeys replaces the lines of base.archive.keys, which may be one or several.
func replaceKeys(text []byte, fingerprint string) ([]byte, error) {
	var f struct {
		Base struct {
			Archive struct {
				Keys yaml.Node `yaml:"keys"`
			} `yaml:"archive"`
		} `yaml:"base"`
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	keys := f.Base.Archive.Keys.Content
	if len(keys) == 0 {
		return nil, errors.New("it has no base.archive.keys")
	}
	lines := strings.SplitAfter(string(text), "\n")
	first, last := keys[0].Line-1, keys[len(keys)-1].Line-1
	if f.Base.Archive.Keys.Style&yaml.FlowStyle == 0 {
		first-- // the line with the name of the list
	}
	line := lines[first][:strings.Index(lines[first], "keys:")] + "keys: [" + fingerprint + "]\n"
	return []byte(strings.Join(slices.Concat(lines[:first], []string{line}, lines[last+1:]), "")), nil
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
