// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileName is the name of a flavor's file in the flavor's folder.
const fileName = "flavor.yaml"

// IsPath tells whether ref names a user's own flavor: it has a slash, ends in .yaml or is
// the current folder. All other names are those of built-in flavors.
func IsPath(ref string) bool {
	return strings.Contains(ref, "/") || strings.HasSuffix(ref, ".yaml") || ref == "." || ref == ".."
}

// IsName tells whether a flavor may have this name.
func IsName(s string) bool { return simpleName.MatchString(s) }

// IsFlavor tells whether ref is the path of a user's own flavor: its file, or a folder with
// a file flavor.yaml.
func IsFlavor(ref string) bool {
	info, err := os.Stat(ref)
	if err != nil {
		return false
	}
	return !info.IsDir() && strings.HasSuffix(ref, ".yaml") || info.IsDir() && hasFlavor(ref)
}

// Open returns the flavor that ref names, validated: a built-in one by its name, or a
// user's own by the path of its file, or of a folder with a file flavor.yaml.
func Open(ref string) (*Flavor, error) { return open(ref, nil) }

// open is Open for a flavor that the files above extend.
func open(ref string, above chain) (*Flavor, error) {
	if !IsPath(ref) {
		f, err := Load(ref)
		if own := "./" + ref; errors.Is(err, ErrUnknown) && hasFlavor(own) {
			err = unknown(ref, own)
		}
		return f, err
	}
	path := ownFile(ref)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a flavor of your own: %w", err)
	}
	flavor, err := parse(path, data, above)
	if err != nil {
		return nil, err
	}
	if len(flavor.sources) == 1 { // else the archive, and so its keys, are those of the first
		flavor.dir = filepath.Dir(path)
	}
	return flavor, nil
}

// hasFlavor reports whether dir is a folder with a flavor.
func hasFlavor(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, fileName))
	return err == nil
}

// ownFile is the path of a user's own flavor.
func ownFile(ref string) string {
	if info, err := os.Stat(ref); err == nil && info.IsDir() {
		return filepath.Join(ref, fileName)
	}
	return ref
}

// LockFile is the path of the lock of the flavor that ref names. The lock of a built-in
// flavor is flavors/NAME/lock.yaml below the current folder. The lock of a user's own is
// beside its file: lock.yaml beside flavor.yaml, and NAME.lock.yaml beside NAME.yaml.
func LockFile(ref string) string {
	if !IsPath(ref) {
		return filepath.Join("flavors", ref, lockName)
	}
	path := ownFile(ref)
	if filepath.Base(path) == fileName {
		return filepath.Join(filepath.Dir(path), lockName)
	}
	return strings.TrimSuffix(path, ".yaml") + "." + lockName
}

// lockName is the name of a lock in a flavor's folder.
const lockName = "lock.yaml"

// ownKeyring reads the keyring beside a user's own flavor. It returns nil if there is none.
func (f *Flavor) ownKeyring() ([]byte, error) {
	if f.dir == "" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(f.dir, f.Base.Archive.Keyring))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
