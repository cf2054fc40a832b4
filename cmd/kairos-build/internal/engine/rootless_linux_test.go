// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindMap(t *testing.T) {
	dir := t.TempDir()
	program, file := filepath.Join(dir, "newuidmap"), filepath.Join(dir, "subuid")
	put(t, program, "#!/bin/sh\n", 0o755)
	put(t, file, "bob:1:65536\nann:100000:60000\n# a comment\n4242:500000:5536\n", 0o644)
	t.Setenv("PATH", dir)

	got, err := findMap("newuidmap", file, "ann", 4242, 4242)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0", "4242", "1", "1", "100000", "60000", "60001", "500000", "5536"}
	if diff := cmp.Diff(want, got.ranges); diff != "" || got.program != program {
		t.Errorf("%s (-want +got):\n%s", got.program, diff)
	}

	for name, tt := range map[string]struct{ program, file, user, want string }{
		"no program": {"newgidmap", file, "ann", "install them (apt-get install uidmap"},
		"too few":    {"newuidmap", file, "carl", "which has 5536 for carl: add them (sudo usermod"},
		"no file":    {"newuidmap", file + "-", "ann", "which has 0 for ann"},
	} {
		_, err := findMap(tt.program, tt.file, tt.user, 4242, 4242)
		if lacks := (*RootlessError)(nil); !errors.As(err, &lacks) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFindIDsOfRoot(t *testing.T) {
	if ids, err := findIDs(0); ids != nil || err != nil {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestRestriction(t *testing.T) {
	const apparmor = "kernel/apparmor_restrict_unprivileged_userns"
	for name, tt := range map[string]struct{ file, value, want, good string }{
		"none":         {"kernel/other", "1", "", ""},
		"Ubuntu 24.04": {apparmor, "1", "kernel.apparmor_restrict_unprivileged_userns", "0"},
		"switched off": {apparmor, "0", "", ""},
		"Debian 10":    {"kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone", "1"},
		"Red Hat 7":    {"user/max_user_namespaces", "0", "user.max_user_namespaces", "15000"},
	} {
		sys := t.TempDir()
		put(t, filepath.Join(sys, tt.file), tt.value+"\n", 0o644)
		if setting, value := restriction(sys); setting != tt.want || value != tt.good {
			t.Errorf("%s: %s=%s", name, setting, value)
		}
	}
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
