// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

func TestBaseFitsTheFlavor(t *testing.T) {
	flavor, err := flavors.Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := recipes.Choose(flavor, recipes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &build{Options: Options{Base: "base.tar"}, packages: &fakePackages{}, choice: choice}
	debian := []byte("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n")
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"etc", map[string][]byte{"etc/os-release": debian, "var/lib/dpkg/status": []byte("Package: a\n")}, ""},
		{"usr", map[string][]byte{"usr/lib/os-release": debian, "var/lib/dpkg/status": []byte("Package: a\n")}, ""},
		{"another release", map[string][]byte{"etc/os-release": []byte("ID=debian\nVERSION_ID='12'\n")},
			"base.tar is debian 12, flavor debian-13 needs debian 13: choose the flavor that fits, or another base"},
		{"a rolling distribution", map[string][]byte{"etc/os-release": []byte("ID=arch\n")},
			"base.tar is arch, flavor debian-13 needs debian 13: choose the flavor that fits, or another base"},
		{"no os-release", nil, "base.tar: it has no /etc/os-release, so its distribution is unknown: is it a distribution's image?"},
		{"no dpkg", map[string][]byte{"etc/os-release": debian}, "base.tar: it has no package database (/var/lib/dpkg/status), so nothing can be added to it: take an image with the package manager of Debian 13 (trixie)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := b.fits(tt.files); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestBuildOnABase: the image, by its digest, takes the place of the base packages.
// The package family finds the packages that it lacks.
func TestBuildOnABase(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts, w.options.Base = []string{"image"}, baseLayout(t, "ID=debian\nVERSION_ID=13\n")
	r, asked := w.build(t)
	want := []string{"check", "resolve", "over Package: a\n", "write packages", "write tools", "write kernel", "write bootloader", "solve"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("what the build asked for (-want +got):\n%s", diff)
	}
	image, _, err := openImage(t.Context(), w.options.Base, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Inputs[3], (Input{Name: "base " + w.options.Base, Digest: digest.String()}); got != want {
		t.Errorf("build.json names the base %v, want %v", got, want)
	}
	request := w.builder.requests[0]
	if !strings.Contains(definition(request), "kairos-build/base-image@"+digest.String()) {
		t.Error("the graph does not start from the image")
	}
	if got := request.Image.Annotations[ocispec.AnnotationBaseImageDigest]; got != digest.String() {
		t.Errorf("the image says that its base is %q", got)
	}
	if got, ok := request.Image.Annotations[ocispec.AnnotationBaseImageName]; ok {
		t.Errorf("the image tells others the path %q of this machine", got)
	}
}

// TestABaseThatDoesNotFit: such a base is bad input, and nothing is built.
func TestABaseThatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	for base, want := range map[string]string{
		baseLayout(t, "ID=debian\nVERSION_ID=12\n"): "flavor debian-13 needs debian 13",
		t.TempDir(): "not an OCI image",
	} {
		w.options.Base, w.list = base, nil
		_, err := Build(t.Context(), w.options)
		if err == nil || !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want bad input with %q", err, want)
		}
		if got := strings.Join(w.list, " "); got != "check resolve" {
			t.Errorf("the build asked for %s", got)
		}
	}
}

// baseLayout is a folder with an image that a build can start from.
func baseLayout(t *testing.T, release string) string {
	t.Helper()
	image, err := testimage.Image([]testimage.Entry{testimage.File("etc/os-release", release), testimage.File("var/lib/dpkg/status", "Package: a\n")})
	if err != nil {
		t.Fatal(err)
	}
	if image, err = testimage.For(image, "amd64"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := ocilayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return dir
}
