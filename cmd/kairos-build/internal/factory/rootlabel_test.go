// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ociLayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
)

// TestLabel: the configuration gets the label, the layout stays whole, and the old
// configuration is gone.
func TestLabel(t *testing.T) {
	dir := t.TempDir()
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	to, err := ociLayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.AppendImage(image, ociLayout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(dir + "/blobs/sha256")
	if err != nil {
		t.Fatal(err)
	}
	if err := label(dir, layout.LabelRoot, "squashfs"); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir(dir + "/blobs/sha256")
	if err != nil || len(after) != len(before) {
		t.Errorf("%d blobs, before %d (%v)", len(after), len(before), err)
	}
	labelled, err := source.Layout(dir, v1.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := source.Layers(labelled, nil)
	if err != nil || layers[0].Root != layout.SquashFS {
		t.Errorf("the layers ask for %v, %v", layers, err)
	}
}
