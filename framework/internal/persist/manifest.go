// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// ManifestName is the manifest's file in Sync.Dir: one JSON object with version,
// paths (a Record for each persistent path), and the SHA-256 of the text of paths.
// Without the digest, damage in the manifest would look like local changes.
const ManifestName = "manifest.json"

// manifestVersion is the version that this package writes and reads.
const manifestVersion = 1

// ErrManifest is wrapped by errors about a damaged manifest.
var ErrManifest = errors.New("damaged manifest")

// A Kind is the type of a file. No kind means that there is no file.
type Kind string

// The kinds.
const (
	KindFile    Kind = "file"
	KindDir     Kind = "dir"
	KindLink    Kind = "link"
	KindSpecial Kind = "special" // a device, socket or pipe
)

// An Entry is one version of one file. The zero value stands for an absent file.
// Two versions with equal entries need no change.
type Entry struct {
	Kind Kind   `json:"kind"`
	Mode uint32 `json:"mode,omitempty"` // with setuid, setgid and sticky; 0 for links
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
	Size int64  `json:"size,omitempty"` // bytes, of a file
	// Content is the SHA-256 of a file in hex, the target of a link, or the
	// number of a device.
	Content    string `json:"content,omitempty"`
	Capability string `json:"capability,omitempty"` // security.capability of a file, in hex
}

// A Tree has the entries of a directory by path, relative and slash-separated.
// The directory itself is ".".
type Tree map[string]Entry

// A Record is the state of a path at its last synchronisation.
type Record struct {
	RootHash string   `json:"rootHash"` // of the image
	Entries  Tree     `json:"entries"`  // of the image
	Kept     []Kept   `json:"kept,omitempty"`
	Local    []string `json:"local,omitempty"`
}

// A manifest holds the records, by path in the running system.
type manifest map[string]Record

type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Paths   json.RawMessage `json:"paths"`
}

func (m manifest) encode() ([]byte, error) {
	paths, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{manifestVersion, checksum(paths), paths})
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func decodeManifest(data []byte) (manifest, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if e.Version != manifestVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrManifest, e.Version, manifestVersion)
	}
	if checksum(e.Paths) != e.SHA256 {
		return nil, fmt.Errorf("%w: the checksum is wrong", ErrManifest)
	}
	var m manifest
	if err := json.Unmarshal(e.Paths, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, m.check()
}

// check refuses paths that would lead out of a stored directory.
func (m manifest) check() error {
	for name, record := range m {
		for rel := range record.Entries {
			if !fs.ValidPath(rel) {
				return fmt.Errorf("%w: %s has an entry %q", ErrManifest, name, rel)
			}
		}
	}
	return nil
}

// loadManifest reads the manifest in dir. It returns an empty manifest if there is
// none, and an empty one with an error if it is damaged.
func loadManifest(dir string) (manifest, error) {
	data, err := regular.Read(filepath.Join(dir, ManifestName), regular.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, nil
	}
	var m manifest
	if err == nil {
		m, err = decodeManifest(data)
	}
	if err != nil {
		return manifest{}, fmt.Errorf("what was changed on this node is not known, so nothing is removed: %w", err)
	}
	return m, nil
}

// save replaces the manifest in dir: after a power cut dir holds the old one or this
// one.
func (m manifest) save(dir string) error {
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("encoding %s: %w", ManifestName, err)
	}
	return durable.Write(filepath.Join(dir, ManifestName), data, 0o600)
}
