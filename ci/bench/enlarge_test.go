// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
)

// smallImage has one layer with one file, and the builder's annotations.
func smallImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := testimage.Image([]testimage.Entry{testimage.File("etc/kairos-release", "")})
	if err == nil {
		image, err = testimage.For(image, arch)
	}
	if err == nil {
		image, err = mutate.Config(image, v1.Config{Labels: map[string]string{"io.kairos.family": "debian"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(image, map[string]string{layout.AnnotationRootSize: "4096", layout.AnnotationRootHash: "00"}).(v1.Image)
}

// files returns the files that a node reads from an image, by layer, with their sizes.
func files(t *testing.T, image v1.Image) [][]string {
	t.Helper()
	layers, err := source.Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, layer := range layers {
		r, err := layer.Open()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		in := tar.NewReader(r)
		for h, err := in.Next(); !errors.Is(err, io.EOF); h, err = in.Next() {
			if err != nil {
				t.Fatal(err)
			}
			if h.Size == noiseFile {
				h.Name += " with a MiB"
			}
			names = append(names, h.Name)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // the digests are checked at the end
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, names)
	}
	return all
}

func enlarged(t *testing.T, size int64) v1.Image {
	t.Helper()
	image, err := enlarge(smallImage(t), size)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestEnlargedFromRegistry: a node pulls the whole image, with the added layer below.
func TestEnlargedFromRegistry(t *testing.T) {
	image := enlarged(t, 2*noiseFile)
	dir := filepath.Join(t.TempDir(), "image")
	if err := store(dir, image); err != nil {
		t.Fatal(err)
	}
	s, err := serve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	pulled, err := source.Open(t.Context(), s.ref, source.Options{Arch: arch})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Present(t.Context(), pulled); err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"usr/share/noise/000000 with a MiB", "usr/share/noise/000001 with a MiB"}, {"etc/kairos-release"}}
	if diff := cmp.Diff(want, files(t, pulled)); diff != "" {
		t.Errorf("the files of the layers (-want +got):\n%s", diff)
	}
}

func TestEnlargedKeepsTheConfiguration(t *testing.T) {
	image := enlarged(t, noiseFile)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != arch || config.OS != "linux" || config.Config.Labels["io.kairos.family"] != "debian" || len(config.RootFS.DiffIDs) != 2 {
		t.Errorf("the configuration is %+v", config)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Annotations) > 0 {
		t.Errorf("it has the annotations of another image: %v", manifest.Annotations)
	}
	if size := manifest.Layers[0].Size; size < noiseFile {
		t.Errorf("the noise compresses to %d bytes", size)
	}
}

func TestEnlargedIsReproducible(t *testing.T) {
	one, err := enlarged(t, noiseFile).Digest()
	if err != nil {
		t.Fatal(err)
	}
	two, err := enlarged(t, noiseFile).Digest()
	if err != nil || one != two {
		t.Errorf("digests %s and %s, error %v", one, two, err)
	}
}

func TestServeWhatIsNotThere(t *testing.T) {
	if s, err := serve(t.Context(), t.TempDir()); err == nil {
		t.Errorf("a folder without an image is served as %s", s.ref)
	}
}
