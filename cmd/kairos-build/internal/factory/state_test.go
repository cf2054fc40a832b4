// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStateWithoutAHome: the error says what to set, before the build does anything.
func TestStateWithoutAHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := MakeState(filepath.Join(file, "home/.local/state"))
	for _, want := range []string{filepath.Join(file, "home/.local/state"), "KAIROS_BUILD_STATE", "XDG_STATE_HOME"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one that says %s", err, want)
		}
	}
}

func TestStateIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not/there/yet")
	if err := MakeState(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("the folder was not made: %v", err)
	}
}
