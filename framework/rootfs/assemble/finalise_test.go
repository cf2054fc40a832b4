// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestMakeKept: an image without them gets the top directories that a node keeps; what it has
// stays, a link too.
func TestMakeKept(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("var/opt", filepath.Join(root, "opt")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := makeKept(root); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{"home": fs.ModeDir | 0o755, "opt": fs.ModeSymlink | 0o777, "root": fs.ModeDir | 0o700}
	if len(entries) != len(want) {
		t.Errorf("the root has %v", entries)
	}
	for name, mode := range want {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v (%v), want %v", name, info, err, mode)
		}
	}
}
