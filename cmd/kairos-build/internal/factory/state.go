// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
)

// State chooses the folder that outlives a build and returns it with the
// options of the engine, whose cache is a folder in it:
//
//	archive/   verified indexes and packages, by digest
//	inputs/    what enters a graph, as OCI images
//	engine/    the embedded engine
//	roots/     root images, by the layers that they were made from
//	hashes/    states of disk hashes
//	outputs/   what finished outputs looked like
func State(o engine.Options) (dir string, _ engine.Options, err error) {
	o = engine.FromEnv(o, os.Getenv)
	if dir, err = engine.StateDir(o); err != nil {
		return "", o, err
	}
	o.StateDir = filepath.Join(dir, "engine")
	return dir, o, nil
}
