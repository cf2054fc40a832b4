// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// emulation is the kernel's entry for programs of arm64, see ci/setup/emulation.
const emulation = "/proc/sys/fs/binfmt_misc/qemu-aarch64"

// TestCheckOtherProcessor runs a program of arm64 in the engine's namespaces, in a state folder
// that was never used.
func TestCheckOtherProcessor(t *testing.T) {
	if _, err := os.Stat(emulation); err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: this host runs no programs of arm64: %v", err)
	}
	b := Builder{Options: Options{StateDir: filepath.Join(t.TempDir(), "new")}, Platform: "linux/arm64"}
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, b.StateDir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
