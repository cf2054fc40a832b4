// SPDX-License-Identifier: Apache-2.0

// Package sshkeys holds the keys of the key sources in a config: github:NAME,
// gitlab:NAME and URLs. It fetches keys (Refresh), caches them on the persistent
// partition, and returns the cached keys (Cached), so that a node without a network
// has the keys of its last boot.
//
// Only new keys of a source replace its cached keys. An answer without a key, a
// refusal or a page that is no list of keys is an error and leaves the cache
// unchanged. To revoke the last key of a source, remove the source from the config.
//
// The package writes to no home directory; framework/machine/apply does. For it,
// sshkeys keeps the lists of keys of this boot (Want, Wanted).
package sshkeys

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Dir has a file with the keys of each source. Only root can read it: a URL may
// hold a secret.
const Dir = "/var/lib/kairos/ssh-keys"

// WantedPath holds the lists of the users in this boot.
const WantedPath = "/run/kairos/ssh-keys.json"

// The limits of an answer. They are ample, and an endless answer must not fill the
// node.
const (
	MaxBytes = 256 << 10
	MaxKeys  = 100
)

// A Fetcher fetches the content of a URL.
type Fetcher interface {
	// Fetch calls use with the content. It retries after a temporary failure.
	Fetch(ctx context.Context, url string, use func(io.Reader) error) error
}

// A Store keeps keys below a root.
type Store struct{ Root tree.Root }

// Entry holds the cached keys of one source. It is the document in the source's
// file; readers ignore unknown keys.
type Entry struct {
	Version int       `json:"version"`
	Source  string    `json:"source"`
	Fetched time.Time `json:"fetched"` // when the keys last changed, by the node's clock
	Keys    []string  `json:"keys"`    // lines of authorized_keys
}

// Name is a source for display: a URL without its possible secrets.
func Name(source string) string { return fetch.Shown(source) }

// path is the path of a source's file. Its name is a hash, because a source can be
// any text.
func path(source string) string {
	sum := sha256.Sum256([]byte(source))
	return Dir + "/" + hex.EncodeToString(sum[:16]) + ".json"
}

// Cached returns the cached entry of a source; ok is false if there is none.
func (s Store) Cached(source string) (e Entry, ok bool, err error) {
	data, err := s.Root.Read(path(source))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("reading the kept keys of %s: %w", Name(source), err)
	}
	return e, e.Source == source && len(e.Keys) > 0, nil
}

// Resolve replaces the sources in a list by their cached keys. missing are the
// sources without cached keys.
func (s Store) Resolve(list []string) (keys, missing []string, err error) {
	for _, entry := range list {
		if !config.IsKeySource(entry) {
			keys = append(keys, entry)
			continue
		}
		e, ok, readErr := s.Cached(entry)
		err = errors.Join(err, readErr)
		if !ok {
			missing = append(missing, entry)
		}
		keys = append(keys, e.Keys...)
	}
	return keys, missing, err
}

// A KeptError is a refresh that got no keys, while earlier keys are cached.
type KeptError struct {
	Err  error
	Kept Entry
	// Refused is true if the source answered without keys, false if it did not
	// answer.
	Refused bool
}

// Error names the reason and the keys that stay.
func (e *KeptError) Error() string {
	return fmt.Sprintf("%v; its %d keys of %s stay", e.Err, len(e.Kept.Keys), e.Kept.Fetched.Format(time.DateOnly))
}

// Unwrap returns the reason.
func (e *KeptError) Unwrap() error { return e.Err }

// Refresh fetches the keys of a source and caches them. It returns whether they
// changed. After an error the cached keys stay; a *KeptError has them.
func (s Store) Refresh(ctx context.Context, from Fetcher, bases config.ForgeBases, source string) (changed bool, err error) {
	address, _ := bases.KeyAddress(source)
	keys, refused, err := ask(ctx, from, address)
	old, ok, readErr := s.Cached(source)
	switch {
	case err != nil && ok:
		return false, &KeptError{err, old, refused}
	case err != nil:
		return false, fmt.Errorf("%w; no key of it is known", err)
	case readErr == nil && slices.Equal(old.Keys, keys):
		return false, nil
	}
	return true, s.keep(Entry{Version: 1, Source: source, Fetched: now(), Keys: keys})
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (s Store) keep(e Entry) error {
	data, err := json.MarshalIndent(e, "", " ")
	if err == nil {
		_, err = s.Root.Replace(path(e.Source), tree.File{Data: append(data, '\n'), Mode: 0o600})
	}
	if err != nil {
		return fmt.Errorf("keeping the keys of %s: %w", Name(e.Source), err)
	}
	return nil
}

// ask reads the keys at an address. Wrong content is no reason to ask again, so
// that error leaves the callback by a variable. refused is true if the source
// answered.
func ask(ctx context.Context, from Fetcher, address string) (keys []string, refused bool, err error) {
	var wrong error
	err = from.Fetch(ctx, address, func(content io.Reader) error {
		data, err := io.ReadAll(io.LimitReader(content, MaxBytes+1))
		if err == nil {
			keys, wrong = Parse(data)
		}
		return err
	})
	if err == nil && wrong != nil {
		return nil, true, fmt.Errorf("asking %s: %w", Name(address), wrong)
	}
	answer, ok := errors.AsType[interface {
		error
		Refused() bool
	}](err)
	return keys, ok && answer.Refused(), err
}

// Parse reads the lines of an authorized_keys file. One line that is no key makes
// it fail: the data is then no list of keys, or only a part of one.
func Parse(data []byte) ([]string, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the answer has more than %d KiB", MaxBytes>>10)
	}
	var keys []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, MaxBytes)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil {
			return nil, fmt.Errorf("line %d of the answer is no SSH public key", n)
		}
		keys = append(keys, line)
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case len(keys) == 0:
		return nil, errors.New("the answer has no key")
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("the answer has %d keys, more than %d", len(keys), MaxKeys)
	}
	return keys, nil
}
