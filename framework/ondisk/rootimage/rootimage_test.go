// SPDX-License-Identifier: Apache-2.0

package rootimage

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/squashfs"
)

type writer interface {
	Add(erofs.Entry, io.Reader) error
	Close() (int64, error)
}

// TestOpen: both formats show the same files, with the set-user-ID bit and the owner.
func TestOpen(t *testing.T) {
	for format, begin := range map[layout.FileSystem]func(io.WriterAt) writer{
		layout.EROFS:    func(w io.WriterAt) writer { return erofs.NewWriter(w, erofs.Options{}) },
		layout.SquashFS: func(w io.WriterAt) writer { return squashfs.NewWriter(w) },
	} {
		t.Run(string(format), func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "root"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w := begin(f)
			sudo := erofs.Entry{Path: "usr/bin/sudo", Mode: erofs.ModeRegular | 0o4755, UID: 7, GID: 8, Size: 4}
			if err := errors.Join(w.Add(sudo, strings.NewReader("sudo")), w.Add(erofs.Entry{Path: "bin", Mode: erofs.ModeSymlink | 0o777, Linkname: "usr/bin"}, nil)); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := Format(f); got != format || err != nil {
				t.Errorf("Format: %s, %v", got, err)
			}
			root, err := Open(f)
			if err != nil {
				t.Fatal(err)
			}
			info, err := fs.Stat(root, "bin/sudo")
			if err != nil {
				t.Fatal(err)
			}
			if uid, gid := Owner(info); Mode(info) != fs.ModeSetuid|0o755 || uid != 7 || gid != 8 {
				t.Errorf("sudo: %v %d %d", Mode(info), uid, gid)
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	if _, err := Open(bytes.NewReader(make([]byte, 4096))); !errors.Is(err, ErrUnknown) || err.Error() != "the root image is neither EROFS nor SquashFS" {
		t.Errorf("zeros: %v", err)
	}
	if _, err := Open(strings.NewReader("hsqs")); !errors.Is(err, io.EOF) {
		t.Errorf("a cut image: %v", err)
	}
}
