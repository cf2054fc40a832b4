// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
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
	return durable.WriteCache(filepath.Join(string(d), name), value, 0o600)
}
