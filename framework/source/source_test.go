// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// testImage is a random image for linux/arch.
func testImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func testLayout(t *testing.T, images ...v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if err := path.AppendImage(image); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarOf packs a folder as OCI archives are packed.
func tarOf(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

func wantSame(t *testing.T, got, want v1.Image) {
	t.Helper()
	g, err := got.Digest()
	if err != nil {
		t.Fatal(err)
	}
	w, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if g != w {
		t.Errorf("got image %s, want %s", g, w)
	}
}

func TestOpenFindsTheImageForTheArchitecture(t *testing.T) {
	amd, arm := testImage(t, "amd64"), testImage(t, "arm64")
	dir := testLayout(t, arm, amd)
	for name, ref := range map[string]string{
		"layout": dir, "archive": tarOf(t, dir), "dir:": "dir:" + dir, "file:": "file:" + dir,
		"file: of an archive": "file:" + tarOf(t, dir), "ocifile:": "ocifile:" + tarOf(t, dir),
	} {
		t.Run(name, func(t *testing.T) {
			image, err := Open(t.Context(), ref, Options{Arch: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, image, amd)
			layers, err := Layers(image, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, layer := range layers {
				if err := drain(layer.Open()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func drain(r io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func TestOpenAsksARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/edge/node:v1"
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	amd := testImage(t, "amd64")
	if err := remote.Write(tag, amd); err != nil {
		t.Fatal(err)
	}
	image, err := Open(t.Context(), ref, Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, image, amd)
	if _, err := Open(t.Context(), ref, Options{Arch: "arm64"}); !errors.Is(err, ErrPlatform) {
		t.Errorf("got %v, want ErrPlatform", err)
	}
	if _, err := Open(t.Context(), ref+"-nosuch", Options{Arch: "amd64"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := testLayout(t, testImage(t, "arm64"))
	plain := filepath.Join(t.TempDir(), "plain.tar")
	if err := os.WriteFile(plain, []byte("not a tar, whatever its name says, and long enough to be read as one"), 0o644); err != nil {
		t.Fatal(err)
	}
	kernel, release := t.TempDir(), t.TempDir()
	for dir, file := range map[string]string{kernel: "boot/vmlinuz", release: "etc/kairos-release"} {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, ref string
		is        error
		says      string
	}{
		{"a kernel alone", "dir:" + kernel, ErrNotImage, "want an OCI layout (index.json) or a root file system"},
		{"a release file alone", "dir:" + release, ErrNotImage, "want an OCI layout (index.json) or a root file system"},
		{"no such path", "./nosuch", ErrNotFound, "there is no such folder or file"},
		{"other architecture", dir, ErrPlatform, "wanted linux/amd64, found linux/arm64"},
		{"other architecture, archived", tarOf(t, dir), ErrPlatform, "wanted linux/amd64, found linux/arm64"},
		{"no architecture", testLayout(t, layered(t, []string{"file"})), ErrPlatform, "found an image that names no platform"},
		{"empty folder", t.TempDir(), ErrNotImage, "want a folder with oci-layout and index.json"},
		{"not a tar", plain, ErrNotImage, "want a tar of an OCI layout"},
		{"nothing in the index", testLayout(t), ErrNotImage, "its index lists none"},
		{"no such folder", "dir:/nosuch", ErrNotFound, "there is no such folder"},
		{"no such file", "ocifile:/nosuch.tar", ErrNotFound, "there is no such folder or file"},
		{"a folder as a file", "ocifile:" + dir, ErrNotImage, "open it as dir:" + dir},
		{"neither layout nor root", "dir:" + t.TempDir(), ErrNotImage, "want an OCI layout (index.json) or a root file system"},
		{"not a reference", "UPPER CASE", nil, "neither a folder, a file nor an image reference"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(t.Context(), tt.ref, Options{Arch: "amd64"})
			if err == nil || (tt.is != nil && !errors.Is(err, tt.is)) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
			}
		})
	}
}

func TestLayersNoticesAnAlteredBlob(t *testing.T) {
	image := testImage(t, "amd64")
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	other, err := layers[1].DiffID()
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(open(layers[0], other, nil)); !errors.Is(err, ErrAltered) || !strings.Contains(err.Error(), "layer "+other.String()) {
		t.Errorf("got %v, want an error about the altered layer", err)
	}
}

// TestBlobsOfAnArchive: a file is a blob only in the folder of blobs.
func TestBlobsOfAnArchive(t *testing.T) {
	amd := testImage(t, "amd64")
	dir := testLayout(t, amd)
	if err := errors.Join(os.CopyFS(filepath.Join(dir, "copy", "blobs"), os.DirFS(filepath.Join(dir, "blobs"))), filepath.WalkDir(filepath.Join(dir, "copy"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			return os.WriteFile(path, []byte("another"), 0o644)
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
	if err := read(t.Context(), tarOf(t, dir), quick()); err != nil {
		t.Error(err)
	}
}

// TestPresentInFiles: Present finds the layers of a folder and of an archive, and
// names the one that is missing.
func TestPresentInFiles(t *testing.T) {
	for way, refOf := range map[string]func(dir string) string{
		"folder":  func(dir string) string { return dir },
		"archive": func(dir string) string { return tarOf(t, dir) },
	} {
		image := testImage(t, "amd64")
		dir := testLayout(t, image)
		missing := digestOf(t, image)
		for range 2 {
			opened, err := Open(t.Context(), refOf(dir), quick())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "blobs", strings.Replace(missing, ":", "/", 1))
			_, gone := os.Lstat(path)
			err = Present(t.Context(), opened)
			if gone == nil && err != nil || gone != nil && (!errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), missing)) {
				t.Errorf("%s, without the layer: %v: got %v", way, gone != nil, err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestArchiveNoticesAMissingBlob(t *testing.T) {
	dir := testLayout(t, testImage(t, "amd64"))
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), tarOf(t, dir), Options{Arch: "amd64"}); err == nil || !strings.Contains(err.Error(), "is missing from the archive") {
		t.Errorf("got %v, want an error that names the missing blob", err)
	}
}
