// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goerofs "github.com/erofs/go-erofs"
)

const epoch = 1700000000

// A row is one entry of a test layer.
type row struct {
	flag byte
	name string
	body string // or link target
	edit func(*tar.Header)
}

func dir(name string) row                  { return row{flag: tar.TypeDir, name: name} }
func file(name, body string) row           { return row{flag: tar.TypeReg, name: name, body: body} }
func symlink(name, to string) row          { return row{flag: tar.TypeSymlink, name: name, body: to} }
func hardlink(name, to string) row         { return row{flag: tar.TypeLink, name: name, body: to} }
func (r row) with(f func(*tar.Header)) row { r.edit = f; return r }

func (r row) header() *tar.Header {
	h := &tar.Header{Typeflag: r.flag, Name: r.name, Mode: 0o644, ModTime: time.Unix(epoch, 0), Format: tar.FormatPAX}
	switch r.flag {
	case tar.TypeDir:
		h.Mode = 0o755
	case tar.TypeReg:
		h.Size = int64(len(r.body))
	default:
		h.Linkname = r.body
	}
	if r.edit != nil {
		r.edit(h)
	}
	return h
}

func tarOf(t testing.TB, rows []row) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, r := range rows {
		if err := w.WriteHeader(r.header()); err != nil {
			t.Fatal(err)
		}
		if r.flag == tar.TypeReg {
			if _, err := io.WriteString(w, r.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(content []byte) Layer {
	return Layer{
		DiffID: fmt.Sprintf("sha256:%x", sha256.Sum256(content)),
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

func layersOf(t testing.TB, layers [][]row) []Layer {
	t.Helper()
	var result []Layer
	for _, rows := range layers {
		result = append(result, layerOf(tarOf(t, rows)))
	}
	return result
}

// base returns the minimum that an image must have.
func base() []row {
	return []row{
		dir("boot"), file("boot/vmlinuz", "KERNEL"), file("boot/initrd", "INITRD"),
		dir("etc"), file("etc/kairos-release", "KAIROS_FLAVOR=\"debian-13\"\n"),
	}
}

func tempFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// write makes a root image of base and of layers above it.
func write(t testing.TB, layers ...[]row) (*Image, *os.File, error) {
	t.Helper()
	f := tempFile(t)
	image, err := Write(t.Context(), f, layersOf(t, append([][]row{base()}, layers...)), testLoader{})
	return image, f, err
}

// tree reads a root image with an independent reader: one line for each path,
// with mode, owner, time, links, xattrs and content. Inode numbers are replaced by the
// first path of the inode.
func tree(t testing.TB, r io.ReaderAt) map[string]string {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	lines, first := map[string]string{}, map[int64]string{}
	err = fs.WalkDir(img, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := fs.Lstat(img, path)
		if err != nil {
			return err
		}
		st := fi.Sys().(*goerofs.Stat)
		content, err := contentOf(img, path, st)
		line := fmt.Sprintf("%v %d:%d %d.%d %d %q %q", st.Mode, st.UID, st.GID, st.Mtime, st.MtimeNs, st.Nlink, st.Xattrs, content)
		if at, ok := first[st.Ino]; ok {
			line += " = " + at
		} else {
			first[st.Ino] = path
		}
		lines[path] = line
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func contentOf(img fs.FS, path string, st *goerofs.Stat) (string, error) {
	switch st.Mode.Type() {
	case fs.ModeSymlink:
		return fs.ReadLink(img, path)
	case 0:
		b, err := fs.ReadFile(img, path)
		if len(b) > 100 {
			b = fmt.Appendf(nil, "%d bytes %x", len(b), sha256.Sum256(b))
		}
		return string(b), err
	case fs.ModeDir:
		return "", nil
	}
	return fmt.Sprint(st.Rdev), nil
}

// content returns the content of a path in the root image, or an error text.
func content(t testing.TB, r io.ReaderAt, path string) string {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := fs.Lstat(img, path)
	if errors.Is(err, fs.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	if fi.IsDir() {
		return "(dir)"
	}
	c, err := contentOf(img, path, fi.Sys().(*goerofs.Stat))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(c)
}
