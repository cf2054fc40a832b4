// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
)

// layered returns an image of layers, lowest first. An entry that ends in a slash
// is a folder, an entry with "->" a symbolic link; others are files that hold their
// name.
func layered(t *testing.T, layers ...[]string) v1.Image {
	t.Helper()
	var members [][]testimage.Entry
	for _, entries := range layers {
		var layer []testimage.Entry
		for _, e := range entries {
			member := testimage.File(e, e)
			if link, to, ok := strings.Cut(e, "->"); ok {
				member = testimage.Entry{Header: tar.Header{Name: link, Typeflag: tar.TypeSymlink, Linkname: to}}
			} else if strings.HasSuffix(e, "/") {
				member = testimage.Entry{Header: tar.Header{Name: e, Typeflag: tar.TypeDir, Mode: 0o755}}
			}
			layer = append(layer, member)
		}
		members = append(members, layer)
	}
	image, err := testimage.Image(members...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestFiles(t *testing.T) {
	lower := []string{"etc/", "etc/a", "etc/b"}
	for _, tt := range []struct {
		name  string
		upper []string
		want  string // names of "etc/a" and "etc/b" that are found
	}{
		{"nothing above", []string{"etc/c"}, "etc/a etc/b"},
		{"a folder above", []string{"etc/"}, "etc/a etc/b"},
		{"a whiteout", []string{"etc/.wh.a"}, "etc/b"},
		{"a whiteout of the folder", []string{".wh.etc"}, ""},
		{"a folder that is made anew", []string{".wh.etc", "etc/", "etc/b"}, "etc/b"},
		{"an opaque folder", []string{"etc/.wh..wh..opq", "etc/a"}, "etc/a"},
		{"everything is opaque", []string{".wh..wh..opq"}, ""},
		{"a link in its place", []string{"etc/a->b"}, "etc/b"},
		{"a link in the place of the folder", []string{"etc->other"}, ""},
		{"a whiteout behind its own file", []string{"etc/a", "etc/.wh.a"}, "etc/a etc/b"},
		{"a folder in its place", []string{"etc/a/"}, "etc/b"},
		{"another's mark of aufs", []string{"etc/.wh..wh.a"}, "etc/a etc/b"},
		{"a name that begins alike", []string{".wh.et", "et/.wh..wh..opq"}, "etc/a etc/b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Files(layered(t, lower, tt.upper), "etc/a", "etc/b")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range []string{"etc/a", "etc/b"} {
				if data, ok := found[name]; ok && string(data) == name {
					got = append(got, name)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFilesOfBrokenLayer(t *testing.T) {
	dir, _ := storedAs(t, types.OCILayer)
	image, err := Layout(dir, v1.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Files(image, "etc/a"); !errors.Is(err, tar.ErrHeader) || !strings.Contains(err.Error(), "reading layer sha256:") {
		t.Errorf("got %v, want one about the layer", err)
	}
}

// TestFilesAgainstUnpacking: Files finds the files that a plain unpacker makes.
func TestFilesAgainstUnpacking(t *testing.T) {
	for seed := range uint64(150) {
		random := layerstest.Random(seed)
		var members [][]testimage.Entry
		names, linked := map[string]bool{}, map[string]bool{}
		for _, l := range random {
			var to []testimage.Entry
			for _, e := range l {
				m := testimage.Entry{Header: *e.Header()}
				switch e.Type {
				case tar.TypeReg:
					m.Content = e.Body
				case tar.TypeLink:
					linked[e.Name] = true
				}
				names[e.Name] = true
				to = append(to, m)
			}
			members = append(members, to)
		}
		image, err := testimage.Image(members...)
		if err != nil {
			t.Fatal(err)
		}
		want := layerstest.Unpack(random)
		found, err := Files(image, slices.Collect(maps.Keys(names))...)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for name := range names {
			if linked[name] {
				continue // hard links are not followed
			}
			f := want[name]
			if isFile := f != nil && f.Type == tar.TypeReg; isFile != (found[name] != nil) || isFile && string(found[name]) != f.Body {
				t.Fatalf("seed %d: %s: found %q, unpacked %+v", seed, name, found[name], f)
			}
		}
	}
}
