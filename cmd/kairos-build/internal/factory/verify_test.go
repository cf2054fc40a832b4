// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
)

// TestVerifyDisks verifies the disk of a build, a copy of it, and a disk with a
// description of its own.
func TestVerifyDisks(t *testing.T) {
	w := newWorld(t)
	built, _ := w.build(t)
	dir := w.options.Dir
	alone, err := json.Marshal(built.Disks[0])
	if err != nil {
		t.Fatal(err)
	}
	data := read(t, filepath.Join(dir, rawName))
	put := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := put("whole.raw", data)
	data[len(data)/2] ^= 1
	damaged := put("damaged.raw", data)
	described := put("node.json", alone)
	for _, c := range []struct {
		name, build, path string
		want              string // of the error
		is                error
	}{
		{"folder", dir, "", "", nil},
		{"build.json", filepath.Join(dir, resultName), "", "", nil},
		{"a copy", dir, whole, "", nil},
		{"a damaged copy", dir, damaged, damaged, disk.ErrDiffers},
		{"described alone", described, whole, "", nil},
		{"relative to the description", described, "", "no such file", ErrBadInput},
		{"no description", t.TempDir(), "", "no such file", ErrBadInput},
		{"no JSON", whole, "", "invalid character", ErrBadInput},
		{"no disk", put("x.json", []byte(`{"format": 2}`)), "", "describes no disk", ErrBadInput},
		{"no extents", put("x.json", []byte(`{"disks": [{"kind": "raw", "path": "`+whole+`", "size": 5}]}`)), "", "no extents", nil},
		{"which one", put("x.json", []byte(`{"disks": [{"kind": "raw"}, {"kind": "raw"}]}`)), whole, "describes 2 disks", ErrBadInput},
	} {
		good, err := VerifyDisks(t.Context(), VerifyOptions{Build: c.build, Path: c.path, Progress: w.options.Progress})
		if c.want == "" {
			if err != nil || len(good) != 1 || good[0].Content != built.Disks[0].Content {
				t.Errorf("%s: %d are good, %v", c.name, len(good), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || len(good) > 0 {
			t.Errorf("%s: %d are good, got %v, want an error with %q", c.name, len(good), err, c.want)
		}
	}
}
