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

// Check tells, without starting anything, whether Open has what it needs: root
// and a runc for the embedded engine. A remote builder is not asked here.
func Check(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil || o.Builder != "" {
		return err
	}
	if err := checkPrivileges(os.Geteuid()); err != nil {
		return err
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return fmt.Errorf("creating the state folder: %w; choose another with KAIROS_BUILD_STATE", err)
	}
	_, err = findRunc(ctx, o)
	return err
}
