// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"os"
	"path/filepath"
)

// DirCache is a Cache in a folder, which is made when it is needed. Processes
// may share it.
type DirCache string

// Get implements Cache.
func (d DirCache) Get(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), name))
}

// Put implements Cache.
func (d DirCache) Put(name string, value []byte) error {
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), ".put-*")
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(string(d), name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
