// SPDX-License-Identifier: Apache-2.0

// Package site reads what somebody adds to a flavor from this machine's files, and begins
// a folder with a flavor of one's own. It checks everything that can be checked without
// the image, and names every mistake at once. docs/site.md is for the people who use it.
package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/rootfs"
)

// A File is a file of this machine and its absolute path in the image.
type File struct{ From, To string }

// ParseFile reads SRC:DST. A DST that ends in a slash is a folder.
func ParseFile(s string) (File, error) {
	from, to, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return File{}, fmt.Errorf("--file %s: want SRC:DST, a file of this machine and its path in the image, such as motd:/etc/motd", s)
	case from == "":
		return File{}, fmt.Errorf("--file %s: there is no file before the colon", s)
	case !path.IsAbs(to):
		return File{}, fmt.Errorf("--file %s: %q is not an absolute path in the image, such as /etc/motd", s, to)
	case to != "/" && path.Clean(to) != strings.TrimSuffix(to, "/"):
		return File{}, fmt.Errorf("--file %s: %q is not a clean path in the image, such as /etc/motd", s, to)
	}
	if strings.HasSuffix(to, "/") {
		to = path.Join(to, filepath.Base(from))
	}
	return File{from, to}, nil
}

// Read reads the folders and then the files. Of two with the same path in the image the
// later counts. The paths of the result are relative to the image's root.
func Read(overlays []flavors.Overlay, files []File) ([]inputs.File, error) {
	t := tree{files: map[string]inputs.File{}}
	for _, o := range overlays {
		t.overlay(o)
	}
	for _, f := range files {
		t.file(f)
	}
	var list []inputs.File
	for _, f := range t.files {
		list = append(list, f)
	}
	return list, errors.Join(t.errs...)
}

// A tree is the files of an image that are being collected.
type tree struct {
	files map[string]inputs.File // by their paths
	errs  []error
}

func (t *tree) fail(format string, args ...any) { t.errs = append(t.errs, fmt.Errorf(format, args...)) }

// overlay adds the files of a folder.
func (t *tree) overlay(o flavors.Overlay) {
	info, err := os.Stat(o.Dir)
	if err != nil || !info.IsDir() {
		t.fail("overlay %s: %w", o.Dir, notFolder(err))
		return
	}
	err = filepath.WalkDir(o.Dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == o.Dir {
			return err
		}
		rel, err := filepath.Rel(o.Dir, name)
		if err != nil {
			return err
		}
		mode, stated := o.Modes[filepath.ToSlash(rel)]
		t.entry(name, filepath.ToSlash(rel), e, mode, stated)
		return nil
	})
	if err != nil {
		t.fail("reading %s: %w", o.Dir, err)
	}
}

func notFolder(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such folder")
	case err != nil:
		return err
	}
	return errors.New("it is no folder: name a folder with files as they are in the image; --file SRC:DST adds one file")
}

// entry adds one entry of a folder. Folders that are not empty come with their files.
func (t *tree) entry(name, rel string, e fs.DirEntry, mode uint32, stated bool) {
	switch e.Type() {
	case fs.ModeDir:
		if entries, err := os.ReadDir(name); err != nil || len(entries) > 0 {
			return // WalkDir reports the error
		}
		t.add(name, inputs.File{Path: rel, Dir: true})
	case fs.ModeSymlink:
		target, err := os.Readlink(name)
		if err != nil {
			t.fail("reading %s: %w", name, err)
			return
		}
		t.add(name, inputs.File{Path: rel, Link: target})
	case 0:
		t.regular(name, rel, mode, stated)
	default:
		t.fail("%s is %s: only files, links and folders can be copied into an image", name, kindOf(e.Type()))
	}
}

func kindOf(m fs.FileMode) string {
	switch m {
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// regular adds a file of a folder. Its mode is 0755 or 0644, which is what version control
// keeps, unless another is stated: so each clone of the folder gives the same image.
func (t *tree) regular(name, rel string, mode uint32, stated bool) {
	info, err := os.Stat(name)
	if err != nil {
		t.fail("reading %s: %w", name, err)
		return
	}
	f := inputs.File{Path: rel, From: name, Mode: shared(info.Mode())}
	octal := inputs.Bits(info.Mode())
	switch {
	case stated:
		f.Mode = inputs.ModeOf(mode)
	case octal&0o7000 != 0:
		t.fail("%s has the mode %04o: a set-user-ID, set-group-ID or sticky bit must be said in flavor.yaml: modes: {%s: \"%04o\"}", name, octal, rel, octal)
	case octal&0o044 != 0o044:
		t.fail("%s has the mode %04o: not everybody may read it, and version control does not keep that; say it in flavor.yaml: modes: {%s: \"%04o\"}", name, octal, rel, octal)
	}
	t.add(name, f)
}

// file adds a file that the command line names. Its mode is that of the file, without what
// group and others may write.
func (t *tree) file(f File) {
	info, err := os.Stat(f.From)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.fail("--file %s:%s: there is no file %s", f.From, f.To, f.From)
		return
	case err != nil:
		t.fail("--file %s:%s: %w", f.From, f.To, err)
		return
	case info.IsDir():
		t.fail("--file %s:%s: %s is a folder: --overlay copies the files of a folder", f.From, f.To, f.From)
		return
	case !info.Mode().IsRegular():
		t.fail("--file %s:%s: %s is %s: only files can be copied into an image", f.From, f.To, f.From, kindOf(info.Mode().Type()))
		return
	}
	mode := inputs.Bits(info.Mode()) &^ 0o022
	if mode&0o7000 != 0 {
		t.fail("--file %s:%s: %s has the mode %04o: a set-user-ID, set-group-ID or sticky bit is not copied; set it with --run \"chmod %04o %s\"", f.From, f.To, f.From, mode, mode, f.To)
		return
	}
	t.add(f.From, inputs.File{Path: strings.TrimPrefix(f.To, "/"), From: f.From, Mode: inputs.ModeOf(mode)})
}

// add adds a file, unless the framework needs its path.
func (t *tree) add(from string, f inputs.File) {
	why, err := rootfs.Protected("/" + f.Path)
	if err != nil {
		t.errs = append(t.errs, err)
		return
	}
	if why != "" && !f.Dir {
		t.fail("%s cannot be /%s in the image: %s", from, f.Path, why)
		return
	}
	t.files[f.Path] = f
}

// shared is the mode of a file that everybody may read.
func shared(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
