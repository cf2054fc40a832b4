// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"runtime"

	"github.com/containerd/platforms"
)

// StateDir returns the absolute path of the state folder that o chooses.
func StateDir(o Options) (string, error) {
	o, err := o.withDefaults()
	return o.StateDir, err
}

// A Builder is an engine that is open only while it executes a graph.
type Builder struct {
	Options
	// Platform is that of the programs that the graphs run, such as linux/arm64. Check
	// refuses a builder that cannot. Empty: not checked.
	Platform string
}

// Native is the architecture of the builder's own processor, as Go names it: its programs run
// there without emulation.
func (b Builder) Native(ctx context.Context) (string, error) {
	if o, err := b.withDefaults(); err != nil || o.Builder == "" {
		return runtime.GOARCH, err
	}
	d, err := Describe(ctx, b.Options)
	if err != nil || len(d.Platforms) == 0 {
		return "", err
	}
	own, err := platforms.Parse(d.Platforms[0]) // BuildKit lists its own first
	return own.Architecture, err
}

// Solve opens the engine, executes the graph and closes the engine.
func (b Builder) Solve(ctx context.Context, r Request) (result Result, err error) {
	e, err := Open(ctx, b.Options)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.Solve(ctx, r)
}

// Check tests, before anything is downloaded, whether Solve has what it needs: a
// builder that answers, or runc, and the right to make the namespaces and mounts of the
// embedded engine. It leaves nothing running.
func (b Builder) Check(ctx context.Context) error {
	o, err := b.withDefaults()
	if err != nil {
		return err
	}
	if o.Builder != "" {
		d, err := Describe(ctx, o)
		if err != nil {
			return err
		}
		return d.Runs(b.Platform)
	}
	l, err := newLauncher(ctx, o)
	if err != nil {
		return err
	}
	return l.try(ctx, b.Platform)
}
