// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// imageOf is the folder of an image with one file.
func imageOf(t *testing.T, name, text string) string {
	t.Helper()
	image, err := testimage.Image([]testimage.Entry{testimage.File(name, text)})
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: diffIDs(t, image)}); err != nil {
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

func diffIDs(t *testing.T, image v1.Image) v1.RootFS {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// TestFlavorOf: the flavor of an image is that of its os-release. Relatives are taken with a
// warning; what is not known is refused, with what there is.
func TestFlavorOf(t *testing.T) {
	for _, tt := range []struct{ name, release, flavor, want string }{
		{"the same", "ID=debian\nVERSION_ID=\"12\"\n", "debian-12", ""},
		{"a relative", "ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n", "debian-13",
			"it is raspbian 13, which no flavor is for; it is like debian, and its packages are those of Debian 13 (trixie): packages of debian-13 are added to it"},
		{"a relative with its own codenames", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"7\"\nVERSION_CODENAME=faye\nDEBIAN_CODENAME=bookworm\n", "debian-12", "it is linuxmint 7, which no flavor is for"},
		{"another release", "ID=debian\nVERSION_ID=\"11\"\n", "", "it is debian 11, and there are flavors for debian 12, 13 only"},
		{"no release", "ID=debian\n", "", "it is debian, and there are flavors for debian 12, 13 only"},
		{"a relative of an unknown release", "ID=kali\nID_LIKE=debian\nVERSION_CODENAME=kali-rolling\n", "", `it is kali, which is like debian, but of no release that there is a flavor for (VERSION_CODENAME is "kali-rolling")`},
		{"an unsupported distribution", "ID=alpine\nVERSION_ID=3.22\n", "", "it is alpine 3.22, a distribution that there is no flavor for: take an image of one of almalinux 10, almalinux 9, debian 12, debian 13"},
		{"no name", "NAME=x\n", "", "it is of no distribution that it names, a distribution that there is no flavor for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FlavorOf(t.Context(), imageOf(t, "usr/lib/os-release", tt.release), "amd64")
			text := got.Warning
			if err != nil {
				text = err.Error()
			}
			if got.Flavor != tt.flavor || (err == nil) != (tt.flavor != "") || err != nil && !errors.Is(err, ErrBadInput) || (tt.want == "") != (text == "") || !strings.Contains(text, tt.want) {
				t.Errorf("got %+v, %v\nwant %s, %s", got, err, tt.flavor, tt.want)
			}
		})
	}
	if _, err := FlavorOf(t.Context(), imageOf(t, "bin/app", "x"), "amd64"); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "it has no /etc/os-release") {
		t.Errorf("no os-release: %v", err)
	}
	if _, err := FlavorOf(t.Context(), t.TempDir()+"/none", "amd64"); !errors.Is(err, ErrBadInput) {
		t.Errorf("no image: %v", err)
	}
}

// TestRelativeIsWarnedAbout: with the warning of FlavorOf, a base of another distribution
// passes; one without a package database does not.
func TestRelativeIsWarnedAbout(t *testing.T) {
	var log bytes.Buffer
	b := &build{Options: Options{Base: "base.tar", Relative: "it is like debian", Log: slog.New(slog.NewTextHandler(&log, nil))}, packages: &fakePackages{}}
	b.choice = recipes.Choice{Flavor: loaded(t, "debian-13")}
	files := map[string][]byte{"etc/os-release": []byte("ID=raspbian\nVERSION_ID=13\n"), "var/lib/dpkg/status": []byte("Package: a\n")}
	if err := b.fits(files); err != nil || !strings.Contains(log.String(), "base.tar: it is like debian") {
		t.Errorf("got %v, log %s", err, log.String())
	}
	delete(files, "var/lib/dpkg/status")
	if err := b.fits(files); err == nil || !strings.Contains(err.Error(), "so nothing can be added to it") {
		t.Errorf("without a package manager: %v", err)
	}
}

func loaded(t *testing.T, name string) *flavors.Flavor {
	t.Helper()
	f, err := flavors.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
