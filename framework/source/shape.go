// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// checkShape refuses a document that is an image for one reader and an index for
// another (CVE-2021-41190): it must not have key, which belongs to the other kind. Nor may
// it have a key twice: one reader takes the first, another the last. Go's JSON reader does
// not distinguish upper and lower case in keys, others do, so neither does this check.
func checkShape(digest v1.Hash, data []byte, key string) error {
	keys, err := topKeys(data)
	if err != nil {
		return fmt.Errorf("%w: reading manifest %s: %w", ErrNotImage, digest, err)
	}
	seen := map[string]bool{}
	for _, name := range keys {
		folded := strings.Map(fold, name)
		if folded == key {
			return fmt.Errorf("%w: %s is an image and an index at once", ErrNotImage, digest)
		}
		if seen[folded] {
			return fmt.Errorf("%w: %s has the key %.40q twice", ErrNotImage, digest, name)
		}
		seen[folded] = true
	}
	return nil
}

// fold returns the lower-case ASCII letter that Go's JSON reader takes r for, or else r: it
// takes U+017F for an s and U+212A for a k.
func fold(r rune) rune {
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if 'a' <= f && f <= 'z' {
			return f
		}
	}
	return r
}

// topKeys returns the keys of a JSON object in their order, without those below.
func topKeys(data []byte) (keys []string, err error) {
	in := json.NewDecoder(bytes.NewReader(data))
	open, err := in.Token()
	if err != nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("it has the key %v", key)
		}
		keys = append(keys, name)
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, err
		}
	}
	return keys, nil
}
