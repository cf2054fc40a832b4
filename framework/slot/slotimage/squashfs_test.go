// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// asking makes all layers ask for a format.
func asking(format layout.FileSystem, layers []Layer) []Layer {
	for i := range layers {
		layers[i].Root = format
	}
	return layers
}

// TestSquashFS: the same layers give the same files in both formats, each with a hash tree,
// and the same bytes each time.
func TestSquashFS(t *testing.T) {
	rows := [][]row{base(), {file("usr/a", "below"), file("usr/b", "b"), hardlink("usr/c", "usr/b"), symlink("lib", "usr/lib"), file("usr/.wh.gone", "")}, {file("usr/a", strings.Repeat("above", 50000)), file("usr/.wh.b", "")}}
	seen := map[layout.FileSystem]map[string]string{}
	sums := map[layout.FileSystem][32]byte{}
	for _, format := range []layout.FileSystem{layout.EROFS, layout.SquashFS, layout.SquashFS} {
		f := tempFile(t)
		image, err := Write(t.Context(), f, asking(format, layersOf(t, rows)), testLoader{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rootimage.Format(f); got != format || err != nil {
			t.Errorf("the image is %s (%v), want %s", got, err, format)
		}
		if err := verity.Verify(t.Context(), f, image.Tree); err != nil {
			t.Error(err)
		}
		if before, ok := sums[format]; ok && before != image.Tree.RootHash {
			t.Errorf("%s: another root hash for the same layers", format)
		}
		seen[format], sums[format] = filesOf(t, f), image.Tree.RootHash
	}
	if sums[layout.EROFS] == sums[layout.SquashFS] {
		t.Error("both formats have the same root hash")
	}
	if diff := cmp.Diff(seen[layout.EROFS], seen[layout.SquashFS]); diff != "" {
		t.Errorf("-EROFS +SquashFS:\n%s", diff)
	}
	if got := seen[layout.SquashFS]["usr/c"]; got != "-rw-r--r-- b" {
		t.Errorf("usr/c is %q", got)
	}
}

// filesOf are the modes and contents of a root image.
func filesOf(t *testing.T, f *os.File) map[string]string {
	t.Helper()
	root, err := rootimage.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	err = fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var text []byte
		switch d.Type() {
		case 0:
			text, err = fs.ReadFile(root, p)
		case fs.ModeSymlink:
			var to string
			to, err = fs.ReadLink(root, p)
			text = []byte(to)
		}
		all[p] = rootimage.Mode(info).String() + " " + string(bytes.TrimSpace(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
