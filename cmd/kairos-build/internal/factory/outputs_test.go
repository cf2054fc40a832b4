// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLeftoversOfAnInterruptedBuild are removed, whatever the folder is called.
func TestLeftoversOfAnInterruptedBuild(t *testing.T) {
	for _, name := range []string{"plain", "node[1]", "node[", "all*"} {
		dir := filepath.Join(t.TempDir(), name)
		left := filepath.Join(dir, stagePrefix+"123", imageName)
		if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o755), os.WriteFile(left, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		o, err := openOutputs(t.Context(), dir, t.TempDir(), func() {})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if exists(left) {
			t.Errorf("%s: %s is still there", name, left)
		}
		if err := o.close(); err != nil {
			t.Error(err)
		}
	}
}
