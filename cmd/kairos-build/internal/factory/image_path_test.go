// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
)

// TestImageOfAFolder: the output folder of a build stands for the image in it.
func TestImageOfAFolder(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	inside := filepath.Join(w.options.Dir, imageName)
	for ref, want := range map[string]string{w.options.Dir: inside, inside: inside, "registry.example.org/os:v1": "registry.example.org/os:v1"} {
		if got := imagePath(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
	o := SimulateOptions{Image: w.options.Dir, Arch: "amd64", State: t.TempDir(), Progress: w.options.Progress}
	if image, err := ReadKubernetes(t.Context(), o); err != nil || image.Version.String() != "" {
		t.Errorf("got %q, %v from an image without Kubernetes", image.Version, err)
	}
	o.Arch = "arm64"
	if _, err := ReadKubernetes(t.Context(), o); !errors.Is(err, ErrBadInput) {
		t.Errorf("got %v, want bad input", err)
	}
	o.State = filepath.Join(siteConfig(t, ""), "state")
	if _, err := ReadKubernetes(t.Context(), o); err == nil || !strings.Contains(err.Error(), "KAIROS_BUILD_STATE") {
		t.Errorf("got %v, want one about the state folder", err)
	}
}

// TestSourcesWithMistakes: they are simulated, too; a file that is none of ours is not.
func TestSourcesWithMistakes(t *testing.T) {
	sources, err := ReadSources([]string{siteConfig(t, "hostnam: a\n")}, config.Options{})
	if err != nil || len(sources) != 1 || string(sources[0].Data) != "hostnam: a\n" {
		t.Errorf("got %d sources, %v", len(sources), err)
	}
	if _, err := ReadSources([]string{"/nosuch.yaml"}, config.Options{}); !errors.Is(err, ErrBadInput) {
		t.Errorf("got %v, want bad input", err)
	}
}

// TestSimulate: the result names the image that was simulated.
func TestSimulate(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image"}
	r, _ := w.build(t)
	sources, err := ReadSources([]string{siteConfig(t, "hostname: a\n")}, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Simulate(t.Context(), SimulateOptions{Image: w.options.Dir, Arch: "amd64", Configs: sources, State: t.TempDir(), Progress: w.options.Progress})
	if err != nil {
		t.Fatal(err)
	}
	if got.Image.Reference != w.options.Dir || got.Image.Digest != r.Image.Digest || got.Image.Version != "v1.0.0" {
		t.Errorf("got %+v", got.Image)
	}
}
