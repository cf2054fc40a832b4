// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import (
	"context"
	"errors"
)

// ChildVerb is the hidden first argument of the child process.
const ChildVerb = "buildkitd"

const logName = "engine.log"

var errNotLinux = errors.New("the embedded build engine runs on Linux only: name a BuildKit that runs already with --builder URL or BUILDKIT_HOST")

type child struct{}

func (*child) release() error { return nil }

type idMaps struct{}

func findIDs(int) (*idMaps, error) { return nil, errNotLinux }

func join(context.Context, launcher) (*Engine, error) { return nil, errNotLinux }

func (launcher) try(context.Context, string) error { return errNotLinux }

// ServeChild is the main function of the hidden child process.
func ServeChild([]string) error { return errNotLinux }
