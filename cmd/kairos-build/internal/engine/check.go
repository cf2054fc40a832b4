// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"os"
)

// StateDir is the folder that o chooses, absolute.
func StateDir(o Options) (string, error) {
	o, err := o.withDefaults()
	return o.StateDir, err
}

// Check tells whether Open has what it needs, before anything is downloaded for
// it: a builder that answers, or root, a runc, and the right to make the
// namespaces and mounts of the embedded engine. It leaves nothing running.
func Check(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if o.Builder != "" {
		routeLogs(o.Log)
		e, err := openRemote(ctx, o)
		if err != nil {
			return err
		}
		return e.Close()
	}
	if err := checkPrivileges(os.Geteuid()); err != nil {
		return err
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return fmt.Errorf("creating the state folder: %w; choose another with KAIROS_BUILD_STATE", err)
	}
	if _, err = findRunc(ctx, o); err != nil {
		return err
	}
	return tryChild(ctx, o)
}
