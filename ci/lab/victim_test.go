// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/ondisk/squashfs"
)

// TestLocateSquashFS: a file of a SquashFS begins anywhere.
func TestLocateSquashFS(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := squashfs.NewWriter(f)
	for name, size := range map[string]int{"a": 9001, "b": 20000} {
		if err := w.Add(erofs.Entry{Path: name, Mode: erofs.ModeRegular | 0o644, Size: int64(size)}, bytes.NewReader(bytes.Repeat([]byte(name+"-"), size)[:size])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	watched := &watcher{r: f}
	root, err := rootimage.Open(watched)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		watched.reads = nil
		data, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		at, err := watched.locate(data[:blockSize])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		there := make([]byte, blockSize)
		if _, err := f.ReadAt(there, at); err != nil || !bytes.Equal(there, data[:blockSize]) {
			t.Errorf("%s is not at %d (%v)", name, at, err)
		}
	}
}
