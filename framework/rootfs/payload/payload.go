// SPDX-License-Identifier: Apache-2.0

// Package payload gives the compiled node programs to the builder. They are
// static binaries that `make build` puts under bin/<arch> before it compiles
// kairos-build; they are embedded, so that a user needs just one file.
package payload

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// The names of the programs.
const (
	Init     = "init"            // /init of the initramfs
	Agent    = "kairos-agent"    // the agent on the node
	Assemble = "kairos-assemble" // the build steps that run inside the engine
)

// ErrNotBuilt means that kairos-build was compiled without the node programs of an
// architecture.
var ErrNotBuilt = errors.New("it is not part of this kairos-build")

//go:embed all:bin
var bin embed.FS

// Names lists the programs, sorted.
func Names() []string { return []string{Init, Agent, Assemble} }

// Program returns the static binary called name for arch (a GOARCH).
// The error wraps ErrNotBuilt when the binary is not embedded.
func Program(arch, name string) ([]byte, error) {
	data, err := bin.ReadFile("bin/" + arch + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the node program %s for %s: %w: compile it with `make build ARCHES=%s`, or take a release of kairos-build", name, arch, ErrNotBuilt, arch)
	}
	return data, err
}
