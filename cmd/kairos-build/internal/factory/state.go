// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MakeState makes the folder that outlives a build:
//
//	archive/   verified indexes and packages, by digest
//	inputs/    inputs of graphs, as OCI images
//	engine/    the embedded engine
//	roots/     root images, by the layers that they were made from
//	outputs/   stamps and locks of output folders
//
// It fails if the folder cannot be written: a user without a home must learn that
// before the first download.
func MakeState(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.NewSyscallError("access", unix.Access(dir, unix.W_OK|unix.X_OK))
	}
	if err != nil {
		return fmt.Errorf("what outlives a build is kept in %s: %w; choose a folder that you can write to with KAIROS_BUILD_STATE or XDG_STATE_HOME", dir, err)
	}
	return nil
}
