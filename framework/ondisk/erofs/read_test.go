// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"
)

// A node is the file that a reader sees under one name.
type node struct {
	Mode     uint32 // permission and special bits as in st_mode, without type
	Type     fs.FileMode
	UID, GID uint32
	MTime    int64
	Nsec     uint32
	Size     int64  // not of directories
	Content  string // of a regular file its SHA-256, of a symlink the target
	Rdev     uint32
	Nlink    int
	Xattrs   map[string]string
	Ino      int64 // the first name of the same inode counts as 0
}

// tempImage runs build on a new image file and returns it open.
func tempImage(t testing.TB, o Options, build func(w *Writer)) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := NewWriter(f, o)
	build(w)
	size, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != size || size%BlockSize != 0 {
		t.Fatalf("Close says %d bytes, the file has %d (%v)", size, fi.Size(), err)
	}
	return f
}

func openImage(t testing.TB, r io.ReaderAt) fs.FS {
	t.Helper()
	img, err := goerofs.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// readImage reads everything with an independent implementation.
func readImage(t testing.TB, r io.ReaderAt) map[string]node {
	t.Helper()
	img := openImage(t, r)
	nodes := map[string]node{}
	err := fs.WalkDir(img, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		nodes[path], err = readNode(img, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func readNode(img fs.FS, path string) (node, error) {
	fi, err := fs.Lstat(img, path)
	if err != nil {
		return node{}, err
	}
	st := fi.Sys().(*goerofs.Stat)
	n := node{
		Mode: unixPerm(st.Mode), Type: st.Mode.Type(), UID: st.UID, GID: st.GID,
		MTime: int64(st.Mtime), Nsec: st.MtimeNs, Nlink: st.Nlink, Xattrs: map[string]string{}, Ino: st.Ino,
	}
	for k, v := range st.Xattrs {
		n.Xattrs[strings.TrimSuffix(k, ".")] = v // the reader writes "system.posix_acl_access."
	}
	switch {
	case n.Type.IsDir():
		return n, nil
	case n.Type.IsRegular():
		n.Content, err = contentHash(img, path)
	case n.Type == fs.ModeSymlink:
		n.Content, err = fs.ReadLink(img, path)
	default:
		n.Rdev = st.Rdev
	}
	n.Size = st.Size
	return n, err
}

func contentHash(img fs.FS, path string) (string, error) {
	f, err := img.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func unixPerm(m fs.FileMode) uint32 {
	p := uint32(m.Perm())
	for bit, unix := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			p |= unix
		}
	}
	return p
}

func hashOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// pattern returns n bytes that depend on seed.
func pattern(seed string, n int) []byte {
	block := sha256.Sum256([]byte(seed))
	return bytes.Repeat(block[:], n/len(block)+1)[:n]
}
