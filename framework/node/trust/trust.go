// SPDX-License-Identifier: Apache-2.0

// Package trust is what a node remembers about the images that it had: the newest version
// that was good, below which no upgrade goes, and an image that was installed without
// verification. The document is on the partition COS_OEM, for all slots. Update holds a
// lock; after a power cut the document is the old one or the new one.
package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Dir is where a node keeps the document.
const Dir = layout.NotesDir

// File is the name of the document in the directory.
const File = "trust.json"

// Version is the version of the document that this package writes. Readers ignore keys that
// they do not know.
const Version = 1

// maxSize, in bytes, is the largest document that is read.
const maxSize = 64 << 10

// ErrDamaged says that the document cannot be read. The node then goes by the version that
// runs.
var ErrDamaged = errors.New("what this node remembers of its images is damaged")

// Keys of layout.ImageRelease that the floor has.
const (
	keyVersion = "KAIROS_VERSION"
	keyFlavor  = "KAIROS_FLAVOR"
	keyRelease = "KAIROS_FLAVOR_RELEASE"
)

// A Record is the document.
type Record struct {
	Version int `json:"version"`
	// Floor has keys of layout.ImageRelease of the newest image that was good.
	Floor map[string]string `json:"floor,omitempty"`
	// Unverified is the image that was last installed without verification; nil once a
	// verified one is good in its place. The label of the slot says the same to root.
	Unverified *Unverified `json:"unverified,omitempty"`
	// Channels are the newest pointers that were seen, by REGISTRY/NAME:TAG. An older one is
	// refused: a registry may offer an image of long ago with the statement of that time.
	Channels map[string]Seen `json:"channels,omitempty"`
}

// Unverified is an image that nobody vouches for.
type Unverified struct {
	Slot    layout.Slot `json:"slot"`
	Source  string      `json:"source"`
	Digest  string      `json:"digest"`
	Version string      `json:"imageVersion"`
	Time    time.Time   `json:"time,omitzero"` // by the node's clock; zero if it is not known
}

// String is a sentence for a person.
func (u Unverified) String() string {
	when := ""
	if !u.Time.IsZero() {
		when = " on " + u.Time.UTC().Format(time.DateTime)
	}
	return fmt.Sprintf("slot %s got version %s (%s) from %s%s WITHOUT VERIFICATION, with --insecure-skip-verify; nobody vouches for it, until the next verified upgrade is good",
		u.Slot, u.Version, u.Digest, u.Source, when)
}

// Raise makes release the floor, unless the floor is higher. It returns whether it did.
func (r *Record) Raise(release map[string]string) bool {
	next := map[string]string{}
	for _, key := range []string{keyVersion, keyFlavor, keyRelease} {
		if release[key] != "" {
			next[key] = release[key]
		}
	}
	had, have := asSemver(r.Floor[keyVersion]), asSemver(next[keyVersion])
	if semver.IsValid(had) && (!semver.IsValid(have) || semver.Compare(have, had) < 0) || maps.Equal(r.Floor, next) {
		return false
	}
	r.Floor = next
	return true
}

func asSemver(version string) string { return "v" + strings.TrimPrefix(version, "v") }

// Read returns the record in dir; an empty one if there is none.
func Read(dir string) (Record, error) {
	path := filepath.Join(dir, File)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{Version: Version}, nil
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading what this node remembers of its images: %w", err)
	}
	if info.Size() > maxSize {
		return Record{}, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Record{}, fmt.Errorf("reading what this node remembers of its images: %w", err)
	}
	return Decode(data)
}

// Decode reads a document.
func Decode(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.Version < 1 {
		return Record{}, fmt.Errorf("%w: it has no version", ErrDamaged)
	}
	return r, nil
}

// Update changes the record in dir, if change returns true. A damaged record is begun anew.
func Update(dir string, change func(*Record) bool) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("remembering an image: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("remembering an image: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("remembering an image: locking %s: %w", dir, err)
	}
	r, damage := Read(dir)
	if damage != nil && !errors.Is(damage, ErrDamaged) {
		return damage
	}
	if r.Version = Version; !change(&r) {
		return nil
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = durable.Write(filepath.Join(dir, File), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("remembering an image: %w", err)
	}
	return nil
}
