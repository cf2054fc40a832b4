// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"archive/tar"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	nodelayout "github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/recipes"
)

// TestBase builds from a user's own image, a Debian 13 root that mmdebstrap made:
// as a folder, as a file and in a registry.
func TestBase(t *testing.T) {
	w, base := newWorld(t), userImage(t, debianTar(t))
	folder, out := layoutOf(t, base), filepath.Join(t.TempDir(), "out")

	first := w.build(out, "--base", folder) // its disk needs a kernel and a boot loader
	digest := mustDigest(t, base).String()
	wantComplete(t, filepath.Join(out, "image"), digest)
	for name, ref := range map[string]string{"the same folder": folder, "an OCI archive": archiveOf(t, folder)} {
		again := w.build(out, "--base", ref)
		if again.Image.Digest != first.Image.Digest {
			t.Errorf("%s gives another image", name)
		}
		wantNothingRun(t, name, again)
	}
	kairosified := w.produce(filepath.Join(t.TempDir(), "app"), "kairosify", folder)
	if kairosified.Image.Digest != first.Image.Digest || kairosified.Flavor != "debian-13" {
		t.Errorf("kairosify gives %s of %s, --base %s", kairosified.Image.Digest, kairosified.Flavor, first.Image.Digest)
	}
	if testing.Short() {
		return // from a registry, all is installed once more
	}
	ref := pushed(t, base)
	wantInstalledOnce(t, w.build(out, "--artifact", "image", "--base", ref))
	wantComplete(t, filepath.Join(out, "image"), ref+"@"+digest)
}

// TestBaseThatDoesNotFit starts from images that cannot become debian-13.
func TestBaseThatDoesNotFit(t *testing.T) {
	w, host := newWorld(t), strings.TrimPrefix(newRegistry(t), "http://")
	bookworm := map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n"}
	for _, tt := range []struct{ name, base, want string }{
		{"another distribution", layoutOf(t, imageWith(t, "amd64", map[string]string{"usr/lib/os-release": "ID=fedora\nVERSION_ID=42\n"})), "is fedora 42, flavor debian-13 needs debian 13"},
		{"another release", layoutOf(t, imageWith(t, "amd64", bookworm)), "is debian 12, flavor debian-13 needs debian 13"},
		{"no os-release", layoutOf(t, imageWith(t, "amd64", map[string]string{"bin/app": "x"})), "it has no /etc/os-release"},
		{"another architecture", layoutOf(t, imageWith(t, "arm64", bookworm)), "wanted linux/amd64, found linux/arm64"},
		{"no such folder", filepath.Join(t.TempDir(), "nowhere"), "no such image: there is no such folder or file"},
		{"not an image", t.TempDir(), "not an OCI image"},
		{"not in the registry", host + "/debian:13", "no such image: GET "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			cmd := w.command(t.Context(), "flavor", "debian-13", "--base", tt.base, "-o", dir, "--progress", "plain")
			text, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != commandline.BadInput || !strings.Contains(string(text), tt.want) {
				t.Errorf("got %v\n%s\nwant exit status %d and %q", err, text, commandline.BadInput, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "build.json")); err == nil {
				t.Error("a refused build left a build.json")
			}
		})
	}
}

// debianTar makes a user's Debian 13 root, as a tar.
func debianTar(t *testing.T) string {
	t.Helper()
	m, err := archive.ChooseMirrors(archive.MirrorOptions{
		Env: os.Getenv(archive.EnvMirror), Host: os.DirFS("/"), Distribution: "debian",
		Default: archive.Mirrors{Main: archive.Mirror{URL: "http://ftp.debian.org/debian"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "debian.tar")
	cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--variant=apt", "trixie", path, m.Main.URL)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return path
}

// userImage is an image of one layer.
func userImage(t *testing.T, tarFile string) v1.Image {
	t.Helper()
	layer, err := tarball.LayerFromFile(tarFile, tarball.WithCompressedCaching)
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(t, "amd64", layer)
}

func imageOf(t *testing.T, arch string, layer v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch})
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		t.Fatal(err)
	}
	return image
}

// imageWith is an image with these files and nothing else.
func imageWith(t *testing.T, arch string, files map[string]string) v1.Image {
	t.Helper()
	var entries []testimage.Entry
	for name, text := range files {
		entries = append(entries, testimage.File(name, text))
	}
	layer, err := testimage.Layer(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(t, arch, layer)
}

func layoutOf(t *testing.T, image v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return dir
}

// archiveOf packs an OCI layout into one file.
func archiveOf(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.tar")
	if text, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cf", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, text)
	}
	return path
}

func newRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	return server.URL
}

// pushed pushes image to a new registry and returns its reference.
func pushed(t *testing.T, image v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(newRegistry(t), "http://") + "/debian:13")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return ref.Name()
}

func mustDigest(t *testing.T, image v1.Image) v1.Hash {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// wantComplete looks for our programs, for every package of the recipe, and for
// the name of the base.
func wantComplete(t *testing.T, dir, base string) {
	t.Helper()
	image, err := source.Open(t.Context(), dir, source.Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	initrd, release := nodelayout.ImageInitrd[1:], nodelayout.ImageRelease[1:]
	files, err := source.Files(image, release, "var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	sizes := fileSizes(t, image)
	for _, name := range []string{initrd, "usr/bin/kairos-agent"} {
		if sizes[name] < 1<<20 {
			t.Errorf("%s has %d bytes", name, sizes[name])
		}
	}
	if want := `KAIROS_BASE="` + base + `"`; !strings.Contains(string(files[release]), want) {
		t.Errorf("%s does not say %s:\n%s", nodelayout.ImageRelease, want, files[release])
	}
	if diff := cmp.Diff([]string(nil), notInstalled(t, string(files["var/lib/dpkg/status"]))); diff != "" {
		t.Errorf("packages of the recipe that are not installed:\n%s", diff)
	}
}

// fileSizes are the sizes of the regular files in the layers of an image; of a file that
// several layers have, that of the uppermost.
func fileSizes(t *testing.T, image v1.Image) map[string]int64 {
	t.Helper()
	layers, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, layer := range layers {
		r, err := layer.Open()
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(r); ; {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				sizes[strings.TrimPrefix(h.Name, "./")] = h.Size
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return sizes
}

// notInstalled lists the packages of debian-13 that dpkg does not know as
// installed.
func notInstalled(t *testing.T, status string) (lacking []string) {
	t.Helper()
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	installed := map[string]bool{}
	for stanza := range strings.SplitSeq(status, "\n\n") {
		first, rest, _ := strings.Cut(stanza, "\n")
		installed[strings.TrimPrefix(first, "Package: ")] = strings.Contains(rest, "Status: install ok installed")
	}
	for _, name := range choice.PackageLists()[0].Names {
		if !installed[name] {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// wantNothingRun fails when a step that makes something was not cached.
func wantNothingRun(t *testing.T, name string, r *factory.Result) {
	t.Helper()
	for _, step := range r.Steps {
		if !step.Cached && !strings.HasPrefix(step.Name, "archive: ") {
			t.Errorf("%s: step %q ran again", name, step.Name)
		}
	}
}

// wantInstalledOnce fails when the package manager ran again.
func wantInstalledOnce(t *testing.T, r *factory.Result) {
	t.Helper()
	for _, step := range r.Steps {
		if step.Name == "packages: install" && !step.Cached {
			t.Error("the same base from a registry installed the packages again")
		}
	}
}
