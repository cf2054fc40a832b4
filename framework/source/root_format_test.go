// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestRootFormat: the label of an image reaches its layers, and an unknown format is refused.
func TestRootFormat(t *testing.T) {
	for label, want := range map[string]layout.FileSystem{"": layout.EROFS, "erofs": layout.EROFS, "squashfs": layout.SquashFS, "btrfs": ""} {
		image, err := random.Image(100, 2)
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.Config(image, v1.Config{Labels: map[string]string{layout.LabelRoot: label}}); err != nil {
			t.Fatal(err)
		}
		layers, err := Layers(image, nil)
		if want == "" {
			if !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), `its label io.kairos.root asks for a root image of the format "btrfs"; this version knows erofs and squashfs`) {
				t.Errorf("%q: got %v", label, err)
			}
			continue
		}
		if err != nil || len(layers) != 2 || layers[0].Root != want || layers[1].Root != want {
			t.Errorf("%q: got %+v, %v", label, layers, err)
		}
	}
}
