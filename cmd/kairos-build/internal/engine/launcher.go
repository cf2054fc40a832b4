// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"os"
)

// A launcher has what starts the embedded engine.
type launcher struct {
	Options
	runc string
	ids  *idMaps // of an ordinary user's engine; nil: root's
}

// newLauncher finds what the engine needs, and makes its state folder.
func newLauncher(ctx context.Context, o Options) (launcher, error) {
	ids, err := findIDs(os.Geteuid())
	if err != nil {
		return launcher{}, err
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return launcher{}, fmt.Errorf("creating the state folder: %w; choose another with KAIROS_BUILD_STATE", err)
	}
	runc, err := findRunc(ctx, o)
	return launcher{o, runc, ids}, err
}
