// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/flavors"
)

// A tree is the files of a package, in a folder, with their owners.
type tree struct{ root string }

// add adds a file; its header has its path.
func (t tree) add(f file) error {
	h := f.header
	to := filepath.Join(t.root, path.Clean("/"+h.Name))
	mode := h.FileInfo().Mode()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		err = os.MkdirAll(to, 0o755)
	case tar.TypeReg:
		err = os.WriteFile(to, f.data, 0o600)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, to)
	case tar.TypeLink:
		return os.Link(filepath.Join(t.root, path.Clean("/"+h.Linkname)), to)
	default:
		return fmt.Errorf("%s has the type %q, which no package needs", h.Name, h.Typeflag)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.Lchown(to, h.Uid, h.Gid), os.Chmod(to, mode.Perm()|mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)), os.Chtimes(to, time.Time{}, h.ModTime))
}

// text adds a text file.
func (t tree) text(at, text string) error {
	if at == "/usr/lib/os-release" {
		text += "VARIANT_ID=" + flavors.StandIn + "\n"
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: at, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if strings.HasPrefix(text, "#!") {
		h.Mode = 0o755
	}
	return t.add(file{h, []byte(text)})
}

// texts adds text files and symbolic links.
func (t tree) texts(files, links map[string]string) error {
	for at, text := range files {
		if err := t.text(at, text); err != nil {
			return err
		}
	}
	for at, to := range links {
		if err := t.add(file{header: &tar.Header{Typeflag: tar.TypeSymlink, Name: at, Linkname: to}}); err != nil {
			return err
		}
	}
	return nil
}
