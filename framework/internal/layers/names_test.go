// SPDX-License-Identifier: Apache-2.0

package layers

import (
	"archive/tar"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
)

// TestNamesAgainstUnpacking: from the top down, the visible names are those of a
// plain unpacker.
func TestNamesAgainstUnpacking(t *testing.T) {
	for seed := range uint64(500) {
		all := layerstest.Random(seed)
		var names Names
		for i, layer := range slices.Backward(all) {
			for _, e := range layer {
				m, ok, err := ParseMark(e.Name)
				if ok {
					err = names.Hide(m, i)
				} else if err == nil {
					_, err = names.Claim(e.Name, i, e.Type == tar.TypeDir)
				}
				if err != nil {
					t.Fatalf("seed %d: layer %d: %s: %v", seed, i, e.Name, err)
				}
			}
		}
		want := slices.Sorted(maps.Keys(layerstest.Unpack(all)))
		if diff := cmp.Diff(want, names.root.paths(".")); diff != "" {
			t.Fatalf("seed %d: -unpacked +names\n%s", seed, diff)
		}
	}
}

func (n *name) paths(at string) []string {
	var out []string
	for part, c := range n.children {
		if p := path.Join(at, part); c.kind != unknown {
			out = append(append(out, p), c.paths(p)...)
		}
	}
	slices.Sort(out)
	return out
}

func TestVisible(t *testing.T) {
	var names Names
	for _, c := range []struct {
		name string
		dir  bool
	}{{"a", true}, {"a/own", false}, {"f", false}} {
		if _, err := names.Claim(c.name, 1, c.dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, mark := range []Mark{{Path: "a", Opaque: true}, {Path: "gone"}} {
		if err := names.Hide(mark, 1); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{"a": true, "a/x": false, "a/own": false, "gone": false, "gone/x": false, "f/x": false, "goner": true, ".": true} {
		if got := names.Visible(path, 0); got != want {
			t.Errorf("%s: visible %v", path, got)
		}
		if !names.Visible(path, 1) {
			t.Errorf("%s: the layer hides its own", path)
		}
	}
	for path, want := range map[string]bool{"a": true, "a/own": true, "a/x": false, "gone": false} {
		if got := names.Has(path); got != want {
			t.Errorf("%s: has %v", path, got)
		}
	}
}

func TestMarks(t *testing.T) {
	for name, want := range map[string]Mark{
		"a/.wh.b": {Path: "a/b"}, ".wh.b": {Path: "b"}, "a/.wh..wh..opq": {Path: "a", Opaque: true},
		".wh..wh..opq": {Path: ".", Opaque: true}, "a/.wh..wh.plnk": {},
	} {
		if got, ok, err := ParseMark(name); got != want || !ok || err != nil {
			t.Errorf("%s: %+v, %v, %v", name, got, ok, err)
		}
	}
	for _, name := range []string{".wh.", "a/.wh..", "a/.wh..."} {
		if _, ok, err := ParseMark(name); !ok || err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a/.wh.b", "./a//b/", "/../x", ".wh..wh..opq", "a/.wh...", ".wh..wh.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Clean(s)
		if err != nil {
			return
		}
		if path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
			t.Fatalf("Clean(%q) = %q", s, name)
		}
		if w, ok, err := ParseMark(name); ok && err == nil && w.Path != "" && w.Path != path.Clean(w.Path) {
			t.Fatalf("ParseMark(%q) = %+v", name, w)
		}
	})
}
