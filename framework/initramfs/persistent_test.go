// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/persist"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func TestStoredPaths(t *testing.T) {
	root := t.TempDir()
	for _, p := range []string{"/etc/ssh", "/home"} {
		if err := os.MkdirAll(root+layout.Bind(p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+layout.Bind("/opt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got := storedPaths(root, []string{"/etc/ssh", "/home", "/opt", "/root"}, []string{"/home"})
	want := []persist.Path{
		{Name: "/etc/ssh", Image: filepath.Join(root, "etc/ssh"), Store: root + "/usr/local/.state/etc-ssh.bind"},
		{Name: "/home", Image: filepath.Join(root, "home"), Store: root + "/usr/local/.state/home.bind", New: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}
