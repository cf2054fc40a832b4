// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/flavors"
)

func TestMountPoints(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	flavor.MountPoints = []string{"/work"}
	r, err := Resolve(flavor, Lock{}, Options{MountPoints: []string{"/data/db", "/work"}})
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, f := range r.ReleaseFiles() {
		if f.Dir {
			dirs = append(dirs, f.Path)
		}
	}
	if want := []string{"data/db", "work"}; !slices.Equal(dirs, want) {
		t.Errorf("got %v, want %v", dirs, want)
	}
	for dir, want := range map[string]string{
		"data": "want a clean absolute path", "/": "want a clean absolute path", "/a/../b": "want a clean absolute path", "/a b": "want a clean absolute path",
		"/var/lib/x": "a node can make it by itself", "/mnt/x": "a node can make it by itself", "/lib/x": "/lib belongs to the system", "/usr/share/x": "/usr belongs to the system",
	} {
		if _, err := Resolve(flavor, Lock{}, Options{MountPoints: []string{dir}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", dir, err, want)
		}
	}
}
