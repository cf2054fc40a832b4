// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

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
//
// The folder is made, and must be one that can be written to: whoever has no home
// has to hear of it before the first download.
func State(o engine.Options) (dir string, _ engine.Options, err error) {
	o = engine.FromEnv(o, os.Getenv)
	if dir, err = engine.StateDir(o); err != nil {
		return "", o, err
	}
	if err := makeState(dir); err != nil {
		return "", o, err
	}
	o.StateDir = filepath.Join(dir, "engine")
	return dir, o, nil
}

func makeState(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.NewSyscallError("access", unix.Access(dir, unix.W_OK|unix.X_OK))
	}
	if err != nil {
		return fmt.Errorf("what outlives a build is kept in %s: %w; choose a folder that you can write to with KAIROS_BUILD_STATE or XDG_STATE_HOME", dir, err)
	}
	return nil
}
