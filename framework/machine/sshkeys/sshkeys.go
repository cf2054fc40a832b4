// SPDX-License-Identifier: Apache-2.0

// Package sshkeys knows the keys of the places that a config names in lists of
// SSH keys: github:NAME, gitlab:NAME and URLs. It fetches them (Refresh), keeps
// what it got on the persistent partition, and hands out what it kept (Cached),
// so that a node without a network has the keys of its last boot.
//
// What a place gave is replaced only by what it gives later: an answer without
// a key, a refusal or a page that is none of keys leaves the keys that are known
// and is an error. Who took their last key away has to be taken out of the
// config.
//
// It writes to no home directory: framework/machine/apply does. For that it keeps
// the lists that were asked for in this boot (Want, Wanted).
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

// Dir has a file for each place, with the keys that it gave. Only root can read
// them: a URL may hold a secret.
const Dir = "/var/lib/kairos/ssh-keys"

// WantedPath has the lists that users have in this boot.
const WantedPath = "/run/kairos/ssh-keys.json"

// What a place may give at most. Nobody needs more, and an answer that never
// ends must not fill the node.
const (
	MaxBytes = 256 << 10
	MaxKeys  = 100
)

// A Fetcher fetches the content of a URL.
type Fetcher interface {
	// Fetch calls use with the content, again after a failure that may pass.
	Fetch(ctx context.Context, url string, use func(io.Reader) error) error
}

// A Store keeps keys below a root.
type Store struct{ Root tree.Root }

// Entry is what is known about one place, and the document of its file. Readers
// ignore keys that they do not know.
type Entry struct {
	Version int       `json:"version"`
	Source  string    `json:"source"`
	Fetched time.Time `json:"fetched"` // when the keys were new, by the node's clock
	Keys    []string  `json:"keys"`    // lines of authorized_keys
}

// Name is a source as it is shown: a URL without what may be a secret.
func Name(source string) string { return fetch.Shown(source) }

// path of the file of a source. A hash stands for any text there is.
func path(source string) string {
	sum := sha256.Sum256([]byte(source))
	return Dir + "/" + hex.EncodeToString(sum[:16]) + ".json"
}

// Cached is what is kept of a source; ok is false when nothing is.
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

// Resolve puts keys in the place of the sources in a list. Missing are the
// sources of which no key is known.
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

// A KeptError is a refresh that got no keys, while those of an earlier one are
// kept.
type KeptError struct {
	Err  error
	Kept Entry
	// Refused is true when the place was there and had no keys to give, false
	// when it did not answer.
	Refused bool
}

// Error says what stays.
func (e *KeptError) Error() string {
	return fmt.Sprintf("%v; its %d keys of %s stay", e.Err, len(e.Kept.Keys), e.Kept.Fetched.Format(time.DateOnly))
}

// Unwrap is the reason.
func (e *KeptError) Unwrap() error { return e.Err }

// Refresh fetches the keys of a source and keeps them. It tells whether they are
// others than before. After an error what was kept stays; a *KeptError has it.
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

// ask reads the keys at an address. What is wrong with the content is no
// reason to ask again, so it leaves the callback by a variable. Refused: there
// was an answer.
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

// Parse reads the lines of an authorized_keys file. One line that is no key
// spoils them all: then this is no list of keys, or a part of one.
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
