// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestDiff compares a build with its own disk, and with a build that has more.
func TestDiff(t *testing.T) {
	w := newWorld(t)
	first, _ := w.build(t)
	disk := filepath.Join(first.Dir, "disk.raw")
	o := DiffOptions{A: first.Dir, B: disk, Arch: "amd64", Families: w.options.Families, Progress: w.options.Progress}
	r, err := Diff(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Files.Added + r.Files.Removed + r.Files.Changed + len(r.Packages); n != 0 || r.A.Files == 0 || r.A.Digest != first.Image.Digest || r.A.Packages == 0 {
		t.Errorf("an image differs from its disk in %d things: %+v", n, r)
	}
	w.options.Dir = t.TempDir()
	w.builder.more = "more"
	second, _ := w.build(t)
	o.B = second.Dir
	if r, err = Diff(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if r.B.Digest != second.Image.Digest || r.Files.Changed == 0 || r.Upgrade.Bytes == 0 || r.Upgrade.Bytes > r.Upgrade.Whole {
		t.Errorf("got %+v", r)
	}
}

func TestDiffRefuses(t *testing.T) {
	w := newWorld(t)
	for _, ref := range []string{filepath.Join(t.TempDir(), "nowhere"), t.TempDir()} {
		_, err := Diff(t.Context(), DiffOptions{A: ref, B: ref, Arch: "amd64", Families: w.options.Families, Progress: w.options.Progress})
		if err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
}
