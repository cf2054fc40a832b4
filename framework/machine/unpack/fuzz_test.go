// SPDX-License-Identifier: Apache-2.0

package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/ci/bounded"
	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
)

// imageOf is an image with layers of any bytes.
func imageOf(t *testing.T, layers ...[]byte) v1.Image {
	t.Helper()
	image := empty.Image
	for _, data := range layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// FuzzImage unpacks two layers of any bytes. Nothing appears or changes outside of the
// target, no device appears inside, and an error of the first part changes nothing.
func FuzzImage(f *testing.F) {
	for seed := range uint64(6) {
		layers := layerstest.Random(seed)
		f.Add(layerstest.Tar(layers[0]), layerstest.Tar(layers[1]))
	}
	for _, entries := range [][]layerstest.Entry{
		{{Type: tar.TypeSymlink, Name: "out", Body: ".."}, {Type: tar.TypeReg, Name: "out/secret", Body: "x"}},
		{{Type: tar.TypeSymlink, Name: "out", Body: "../secret"}, {Type: tar.TypeLink, Name: "hard", Body: "out"}, {Type: tar.TypeReg, Name: "hard", Body: "x"}},
		{{Type: tar.TypeReg, Name: "../secret", Body: "x"}},
		{{Type: tar.TypeReg, Name: "/etc/x", Body: "x"}, {Type: tar.TypeReg, Name: "etc/.wh..wh..opq"}},
	} {
		f.Add(layerstest.Tar(entries), layerstest.Tar([]layerstest.Entry{{Type: tar.TypeReg, Name: "kept", Body: "new"}}))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		a, b = layerstest.Repair(a), layerstest.Repair(b)
		if isLarge(a) || isLarge(b) {
			return // it would fill the disk of this machine
		}
		around := t.TempDir()
		target := filepath.Join(around, "target")
		fill(t, around, []string{"secret=s", "target/kept=old", "target/dir/", "target/link->../secret"})
		before := listing(t, around)
		image := imageOf(t, a, b)
		var changed bool
		var err error
		bounded.Run(t, 256<<20, func() { changed, err = Image(t.Context(), image, open(t, target), Options{Ref: "x", KeepOwner: true}) })
		checkAround(t, around)
		if !changed {
			if diff := cmp.Diff(before, without(listing(t, around), Own)); diff != "" {
				t.Errorf("%v, and yet (-before +after):\n%s", err, diff)
			}
		}
	})
}

// isLarge tells whether the files of a layer have more than 16 MiB: sparse files can.
func isLarge(layer []byte) bool {
	var sum int64
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err != nil {
			return sum > 16<<20
		}
		if sum += min(max(h.Size, 0), 32<<20); sum > 16<<20 {
			return true
		}
	}
}

// TestSparseFile: a file of an exabyte takes a kilobyte in a layer, and is refused before it
// fills the disk.
func TestSparseFile(t *testing.T) {
	records := "22 GNU.sparse.major=1\n" + "22 GNU.sparse.minor=0\n" + "23 GNU.sparse.name=big\n" + "43 GNU.sparse.realsize=1000000000000000000\n"
	header := func(name string, kind byte, size int) []byte {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644")
		copy(h[124:], fmt.Sprintf("%011o", size))
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		return h
	}
	block := func(text string) []byte { return append([]byte(text), make([]byte, 512-len(text))...) }
	layer := bytes.Join([][]byte{header("x", 'x', len(records)), block(records), header("big", '0', 512), block("0\n"), make([]byte, 1024)}, nil)
	target := t.TempDir()
	changed, err := Image(t.Context(), imageOf(t, layerstest.Repair(layer)), open(t, target), Options{Ref: "x", KeepOwner: true})
	if changed || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "it has 1000000000000000000 bytes, and there is room for ") {
		t.Errorf("%v, %v", changed, err)
	}
}

// checkAround checks what is beside the target, and the kinds of files in it.
func checkAround(t *testing.T, around string) {
	t.Helper()
	entries, err := os.ReadDir(around)
	data, readErr := os.ReadFile(filepath.Join(around, "secret"))
	if err := errors.Join(err, readErr); err != nil || len(entries) != 2 || string(data) != "s" {
		t.Fatalf("beside the target: %v, secret %q: %v", entries, data, err)
	}
	err = filepath.WalkDir(filepath.Join(around, "target"), func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
			t.Errorf("%s is %v", name, e.Type())
		}
		if errors.Is(err, fs.ErrPermission) {
			return fs.SkipDir // the image says so
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// without leaves out what is below the folder of the target that is ours.
func without(list []string, own string) []string {
	var left []string
	for _, name := range list {
		if !strings.HasPrefix(name, "target/"+own+"/") {
			left = append(left, name)
		}
	}
	return left
}
