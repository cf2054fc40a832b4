// SPDX-License-Identifier: Apache-2.0

// Package channel is the format of channels: names such as edge and stable for the image that
// nodes of one kind shall have now. Builder and node share it. It signs nothing and asks no
// registry.
//
// A channel is a tag and a statement:
//
//	tag        CHANNEL-RELEASE-VARIANT-ARCH-MODEL[-k3s|-k0s], such as stable-13-core-amd64-generic:
//	           it names the image, and so that one can be found. Nobody needs to trust it.
//	statement  of the type [PredicateType], signed, about the digest of the image: a [Pointer].
//	           It says that the image is the channel's, and since when.
//
// Whoever can write to the registry can let the tag name an old image with its old statement.
// So each statement has a sequence that is higher than all before it, and a node that has seen
// a sequence takes none that is lower.
package channel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// PredicateType is the type of the statement.
const PredicateType = "https://github.com/kairos-build/kairos-build/channel/v1"

// Format is the version of a pointer. A node refuses one that it does not know.
const Format = 1

// maxAhead is how far a sequence may be ahead of the clock that made it, see Next.
const maxAhead = 365 * 24 * time.Hour

// ErrForm says that something is no pointer, or no name of a channel.
var ErrForm = errors.New("not a channel")

// A Pointer says that an image, which the statement around it names by its digest, is the
// one of a channel.
type Pointer struct {
	Format  int    `json:"format"`
	Channel string `json:"channel"`
	Kind    string `json:"kind"`    // of the image, see Kind
	Version string `json:"version"` // of the image, for people
	// Sequence is higher than in all pointers of the same channel and kind before it.
	Sequence int64     `json:"sequence"`
	Time     time.Time `json:"time"` // when it was made
}

// nameForm is the form of a channel's name.
var nameForm = lazyregexp.New(`^[a-z][a-z0-9]{0,30}$`)

// CheckName refuses a name that is none of a channel.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %.40q: want a name of small letters and digits, such as edge or stable", ErrForm, name)
	}
	return nil
}

// Kind is what all images for one kind of node have in common: 13-core-amd64-generic, and
// the distribution of Kubernetes behind it if there is one.
func Kind(i reference.Image) string {
	kind := i.Release + "-" + i.Variant + "-" + i.Arch + "-" + i.Model
	if i.Kubernetes != (release.Version{}) {
		kind += "-" + string(i.Kubernetes.Distribution())
	}
	return kind
}

// Tag is the tag of a channel for a kind of image.
func Tag(channel, kind string) string { return channel + "-" + kind }

// Next is the pointer behind one with the sequence before. The sequence is a time in seconds
// if the clock is right, so that it also rises if a registry lost the pointer of before.
func Next(channel, kind, version string, before int64, now time.Time) Pointer {
	now = now.UTC().Truncate(time.Second)
	return Pointer{Format: Format, Channel: channel, Kind: kind, Version: version, Sequence: max(before+1, now.Unix()), Time: now}
}

// Encode is the pointer as a predicate.
func (p Pointer) Encode() (json.RawMessage, error) { return json.Marshal(p) }

// Parse reads a predicate. It checks that it is a whole pointer of a known format.
func Parse(predicate []byte) (p Pointer, err error) {
	d := json.NewDecoder(bytes.NewReader(predicate))
	if err := d.Decode(&p); err != nil {
		return Pointer{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	switch {
	case p.Format != Format:
		return Pointer{}, fmt.Errorf("%w: its format is %d, and this program knows %d: upgrade it by the name of an image", ErrForm, p.Format, Format)
	case p.Sequence < 1 || p.Time.IsZero() || p.Kind == "":
		return Pointer{}, fmt.Errorf("%w: it lacks a sequence, a time or a kind", ErrForm)
	case p.Sequence > p.Time.Add(maxAhead).Unix():
		return Pointer{}, fmt.Errorf("%w: its sequence %d is more than a year ahead of its time %s", ErrForm, p.Sequence, p.Time.Format(time.RFC3339))
	}
	return p, CheckName(p.Channel)
}
