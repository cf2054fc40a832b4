// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFetch: an image is what an upgrade would write, and writes the same root image. What
// an upgrade refuses is refused.
func TestFetch(t *testing.T) {
	image, want := recorded(t, imageOf(t, releaseOf()))
	dir := store(t, image)
	n := newNode(t)
	f, err := Fetch(t.Context(), n.Installation, Options{Source: "dir:" + dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Tree, f.Image.Tree); diff != "" || !bytes.Equal(want.Kernel, f.Image.Kernel) || f.Image.Digest == "" || f.Image.Trust != "signed by a test" || !f.Result.Verified {
		t.Errorf("%+v\n%s", f.Result, diff)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if tree, err := f.Write(t.Context(), out); err != nil || tree != want.Tree {
		t.Errorf("%v, %v", tree, err)
	}
	if len(n.writes) > 0 {
		t.Errorf("the node was written to: %v", n.writes)
	}
	n.Verifier = nil
	if _, err := Fetch(t.Context(), n.Installation, Options{Source: "dir:" + dir}); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	n.Verifier, n.Release = trusting{}, releaseOf(keyArch, "arm64")
	if _, err := Fetch(t.Context(), n.Installation, Options{Source: "dir:" + dir}); err == nil {
		t.Error("an image of another architecture is no error")
	}
	n.Release = releaseOf(keyVersion, "v1.0.0")
	false1 := "dir:" + store(t, annotated(image, "io.kairos.verity.roothash", string(bytes.Repeat([]byte("0"), 64))))
	if _, err := Fetch(t.Context(), n.Installation, Options{Source: false1}); !errors.Is(err, ErrRootHash) {
		t.Errorf("a record that is false: %v", err)
	}
}
