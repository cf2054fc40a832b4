// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"io"
	"io/fs"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
)

// TestAgainstUnpacking: an image holds the tree that a plain unpacker makes of its layers.
func TestAgainstUnpacking(t *testing.T) {
	for seed := range uint64(400) {
		random := layerstest.Random(seed)
		f := tempFile(t)
		if _, err := Write(t.Context(), f, layersOf(t, append([][]row{base()}, rows(random)...)), testLoader{}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(layerstest.Unpack(random).Lines(), imageLines(t, f)); diff != "" {
			t.Fatalf("seed %d: -unpacked +image\n%s", seed, diff)
		}
		f.Close()
	}
}

// rows converts random layers to the form of this package's tests.
func rows(layers [][]layerstest.Entry) [][]row {
	var out [][]row
	for _, l := range layers {
		var to []row
		for _, e := range l {
			to = append(to, row{flag: e.Type, name: e.Name, body: e.Body}.with(func(h *tar.Header) { h.Mode = e.Mode }))
		}
		out = append(out, to)
	}
	return out
}

// imageLines returns what Lines of layerstest returns, read from an image.
func imageLines(t *testing.T, r io.ReaderAt) map[string]string {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	err = fs.WalkDir(img, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(p, "d/") && p != "d" {
			return err
		}
		fi, err := fs.Lstat(img, p)
		if err != nil {
			return err
		}
		st := fi.Sys().(*goerofs.Stat)
		body, err := contentOf(img, p, st)
		flag := map[fs.FileMode]byte{0: tar.TypeReg, fs.ModeDir: tar.TypeDir, fs.ModeSymlink: tar.TypeSymlink}[st.Mode.Type()]
		lines[p] = layerstest.Line(flag, int64(st.Mode.Perm()), body, st.Nlink)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestSplitIsTheSameTree: a tree is the same however it is split into layers.
func TestSplitIsTheSameTree(t *testing.T) {
	rows := append(base(), dir("d"), file("d/a", "1"), file("d/b", strings.Repeat("b", 9000)), symlink("d/l", "a"), hardlink("d/h", "d/b"),
		dir("e").with(func(h *tar.Header) { h.Mode = 0o700 }), file("e/x", "x"), file("e/y", "y"))
	whole := tempFile(t)
	if _, err := Write(t.Context(), whole, layersOf(t, [][]row{rows}), testLoader{}); err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(rows); cut++ {
		f := tempFile(t)
		if _, err := Write(t.Context(), f, layersOf(t, [][]row{rows[:cut], rows[cut:]}), testLoader{}); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if diff := cmp.Diff(tree(t, whole), tree(t, f)); diff != "" {
			t.Errorf("cut at %d: -whole +split\n%s", cut, diff)
		}
	}
}
