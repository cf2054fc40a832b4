// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestNoBlobIsLeft: the image holds its manifest, its configuration and its layers, and
// not the manifest that it had before it was annotated.
func TestNoBlobIsLeft(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image"}
	r, _ := w.build(t)
	blobs, err := os.ReadDir(filepath.Join(w.options.Dir, imageName, "blobs/sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + len(r.Image.Layers); len(blobs) != want {
		t.Errorf("the image has %d blobs, want %d", len(blobs), want)
	}
}

// TestProgramsAreToldApart: the outputs of another program are not taken for ours.
func TestProgramsAreToldApart(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := builderID(), fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
