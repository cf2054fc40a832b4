// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDryRun: written content is read back, and the tree stays unchanged.
func TestDryRun(t *testing.T) {
	r := newRoot(t)
	if err := os.WriteFile(filepath.Join(r.Dir, "old"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Dry = new(DryRun)
	write := func(path, data string, want bool) {
		t.Helper()
		if changed, err := r.Replace(path, File{Data: []byte(data), Mode: 0o644}); err != nil || changed != want {
			t.Errorf("%s: changed %v, %v", path, changed, err)
		}
	}
	write("/old", "1", false)
	write("/old", "2", true)
	write("/old", "2", false)
	write("/new/x", "3", true)
	if got, err := r.Read("/new/x"); err != nil || string(got) != "3" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := r.MakeDir("/d", File{Mode: 0o700}); err != nil {
		t.Error(err)
	}
	if changed, err := r.Remove("/old"); err != nil || !changed {
		t.Errorf("removed %v, %v", changed, err)
	}
	if _, err := r.Read("/old"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed file: %v", err)
	}
	want := []Change{
		{Path: "/old", Old: []byte("1"), Removed: true},
		{Path: "/new/x", New: []byte("3"), Mode: 0o644},
		{Path: "/d", Mode: fs.ModeDir | 0o700},
	}
	if diff := cmp.Diff(want, r.Dry.Changes()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if entries, err := os.ReadDir(r.Dir); err != nil || len(entries) != 1 {
		t.Errorf("the tree has %v, %v", entries, err)
	}
}

func TestMakeDir(t *testing.T) {
	r := newRoot(t)
	for i, want := range []bool{true, false} {
		if changed, err := r.MakeDir("/a/b", File{Mode: 0o750}); err != nil || changed != want {
			t.Errorf("run %d: changed %v, %v", i, changed, err)
		}
	}
	for path, want := range map[string]fs.FileMode{"/a": 0o755, "/a/b": 0o750} {
		if info, err := r.Stat(path); err != nil || info.Mode() != want|fs.ModeDir {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if changed, err := r.MakeDir("/a/b", File{Mode: 0o700}); err != nil || !changed {
		t.Errorf("another mode: changed %v, %v", changed, err)
	}
}

func TestSetAttributes(t *testing.T) {
	r := newRoot(t)
	if err := os.WriteFile(filepath.Join(r.Dir, "f"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if changed, err := r.SetAttributes("/f", File{Mode: 0o755}); err != nil || changed != want {
			t.Errorf("run %d: changed %v, %v", i, changed, err)
		}
	}
	if _, err := r.SetAttributes("/", File{Mode: 0o755}); err == nil {
		t.Error("a directory was taken")
	}
}
