// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeRunc writes a program that counts its starts in a file beside it.
func fakeRunc(t *testing.T, version, help string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runc")
	script := "#!/bin/sh\necho x >>$0.starts\ncase $1 in --version) " + version + ";; run) " + help + ";; esac\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckRunc(t *testing.T) {
	tests := []struct {
		name, version, help string
		want                string // in the error; "" for none
	}{
		{"runc", "echo runc version 1.1.5", "echo '--keep  do not delete'", ""},
		{"crun without --keep", "echo crun version 1.8.1", "echo '--bundle'", "(crun version 1.8.1) has no `run --keep`"},
		{"broken", "echo cannot load libseccomp >&2; exit 127", "true", "does not start: cannot load libseccomp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := fakeRunc(t, tt.version, tt.help)
			err := checkRunc(t.Context(), path, filepath.Join(t.TempDir(), "runc.json"))
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, new(*RuncError)) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "apt-get install runc") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCheckRuncRemembers(t *testing.T) {
	path := fakeRunc(t, "echo runc", "echo --keep")
	memo := filepath.Join(t.TempDir(), "runc.json")
	for range 3 {
		if err := checkRunc(t.Context(), path, memo); err != nil {
			t.Fatal(err)
		}
	}
	if got := starts(t, path); got != 2 {
		t.Errorf("%d starts in three checks, want 2", got)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkRunc(t.Context(), path, memo); err == nil {
		t.Error("a replaced runc passed without a probe")
	}
}

func starts(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path + ".starts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "x")
}

func TestLocateRunc(t *testing.T) {
	path := fakeRunc(t, "true", "true")
	got, err := locateRunc(Options{RunC: path})
	if err != nil || got != path {
		t.Errorf("by option: %q, %v", got, err)
	}
	t.Setenv("PATH", filepath.Dir(path))
	if got, err = locateRunc(Options{}); err != nil || got != path {
		t.Errorf("in PATH: %q, %v", got, err)
	}
	if _, err = locateRunc(Options{RunC: "/nowhere/runc"}); err == nil || !strings.Contains(err.Error(), `runc "/nowhere/runc"`) {
		t.Errorf("missing: %v", err)
	}
}
