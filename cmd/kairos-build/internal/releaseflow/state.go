// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// StateName is the file with the state of an image, in its folder.
const StateName = "release.json"

// A state says how far an image is. What is not about Digest does not count.
type state struct {
	Format   int       `json:"format"`
	Key      string    `json:"key"`    // of everything that the image is made from
	Digest   string    `json:"digest"` // of the image
	Tested   *Tested   `json:"tested,omitempty"`
	Signed   *Signed   `json:"signed,omitempty"`
	Pushed   *Pushed   `json:"pushed,omitempty"`
	Channels []Channel `json:"channels,omitempty"`
}

// Tested is what a test found out.
type Tested struct {
	Digest string `json:"digest"` // of the image
	Scope  string `json:"scope"`
	Passed bool   `json:"passed"`
	Checks int    `json:"checks"`
	Date   string `json:"date"`   // 2006-01-02
	Report string `json:"report"` // file
	JUnit  string `json:"junit"`  // file
}

// counts tells whether a test is a passed one of an image, and of this scope.
func (t *Tested) counts(digest, scope string) bool {
	return t != nil && t.Passed && t.Digest == digest && t.Scope == scope
}

// Signed says who signed an image.
type Signed struct {
	Digest string `json:"digest"`
	Signer string `json:"signer"`
}

// Pushed says where an image is.
type Pushed struct {
	Digest    string `json:"digest"`
	Reference string `json:"reference"` // REGISTRY/NAME:TAG
}

// A Channel says that a channel names an image.
type Channel struct {
	Name      string `json:"name"`
	Reference string `json:"reference"` // REGISTRY/NAME:TAG
	Digest    string `json:"digest"`
	Sequence  int64  `json:"sequence"`
	Replaced  string `json:"replaced,omitempty"` // digest of what it named before
}

// has tells whether the state is about an image that was made from key, and is there.
func (s state) has(key, built string) bool {
	return s.Key == key && s.Digest != "" && s.Digest == built
}

// keep notes a channel.
func (s *state) keep(c Channel) {
	s.Channels = slices.DeleteFunc(s.Channels, func(o Channel) bool { return o.Name == c.Name })
	s.Channels = append(s.Channels, c)
}

// promoted tells whether a channel names the image, as far as is known here.
func (s state) promoted(name string) bool {
	return slices.ContainsFunc(s.Channels, func(c Channel) bool { return c.Name == name && c.Digest == s.Digest })
}

// readState reads the state in a folder; an empty one if there is none.
func readState(dir string) (s state, err error) {
	path := filepath.Join(dir, StateName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading how far the release is: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("reading how far the release is: %s: %w: remove the file, and the release begins anew", path, err)
	}
	if s.Format != Format {
		return state{}, fmt.Errorf("%s has the format %d, and this program knows %d: remove the file, and the release begins anew", path, s.Format, Format)
	}
	return s, nil
}

// write replaces the state in a folder.
func (s state) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = durable.Write(filepath.Join(dir, StateName), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("noting how far the release is: %w", err)
	}
	return nil
}
