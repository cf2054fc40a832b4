// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package slotimage

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestOnLinux lets veritysetup check the whole image, and lets Linux mount it with its hash
// tree. It needs root, cryptsetup-bin and a loop device.
func TestOnLinux(t *testing.T) {
	for _, format := range []layout.FileSystem{layout.EROFS, layout.SquashFS} {
		t.Run(string(format), func(t *testing.T) { onLinux(t, format) })
	}
}

func onLinux(t *testing.T, format layout.FileSystem) {
	f := tempFile(t)
	image, err := Write(t.Context(), f, asking(format, append([]Layer{bigLayer(t, 20<<20, 500)}, layersOf(t, append([][]row{base()}, rows(layerstest.Random(35))...))...)), testLoader{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, "veritysetup", "verify", fmt.Sprintf("--hash-offset=%d", image.Tree.HashOffset), f.Name(), f.Name(), hex.EncodeToString(image.Tree.RootHash[:]))
	at := t.TempDir()
	run(t, "mount", "-t", string(format), "-o", "ro,loop", f.Name(), at)
	defer run(t, "umount", at)
	got := 0
	for path, want := range filesOf(t, f) {
		fi, err := os.Lstat(filepath.Join(at, path))
		if err != nil {
			t.Error(err)
			continue
		}
		if mode := fi.Mode().String(); want[:len(mode)] != mode {
			t.Errorf("%s has mode %s, want %s", path, mode, want)
		}
		if fi.Mode().IsRegular() {
			if _, err := os.ReadFile(filepath.Join(at, path)); err != nil {
				t.Error(err)
			}
		}
		got++
	}
	if got < 500 {
		t.Errorf("the image has %d paths, want more than 500", got)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
