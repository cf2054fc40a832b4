// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// root makes an image of one layer from a folder with a root file system. It reads
// the folder once, for its digest. Each reader of the layer reads the folder again,
// and fails if something changed in between.
func root(ctx context.Context, dir string, want v1.Platform) (v1.Image, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	sum, count := sha256.New(), &counter{}
	if err := (&tree{ctx: ctx, dir: dir}).write(io.MultiWriter(sum, count)); err != nil {
		return nil, err
	}
	r := &rootStore{ctx: ctx, dir: dir, digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, size: count.n}
	manifest, err := r.describe(want)
	if err != nil {
		return nil, err
	}
	return openImage(r, types.OCIManifestSchema1, manifest)
}

type counter struct{ n int64 }

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// A rootStore is a store with a folder as one layer, without compression, and a
// configuration.
type rootStore struct {
	ctx    context.Context // of the reading
	dir    string
	digest v1.Hash // of the layer
	size   int64
	config []byte
}

// describe makes the configuration and returns the manifest.
func (r *rootStore) describe(want v1.Platform) (manifest []byte, err error) {
	config := v1.ConfigFile{OS: want.OS, Architecture: want.Architecture, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{r.digest}}}
	if r.config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	return json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(r.config)), Digest: sha256Of(r.config)},
		Layers: []v1.Descriptor{{MediaType: types.OCIUncompressedLayer, Size: r.size, Digest: r.digest}},
	})
}

func (r *rootStore) has(v1.Descriptor) (bool, error) { return true, nil }

func (r *rootStore) open(blob v1.Descriptor) (io.ReadCloser, error) {
	if blob.Digest != r.digest {
		return io.NopCloser(bytes.NewReader(r.config)), nil
	}
	reader, w := io.Pipe()
	go func() { w.CloseWithError((&tree{ctx: r.ctx, dir: r.dir}).write(w)) }()
	return reader, nil
}

// A tree is a folder as a tar stream: names in the order of their paths, owners
// as numbers, extended attributes, hard links. It leaves out sockets and the
// content of other file systems that are mounted in the folder.
type tree struct {
	ctx    context.Context // of the reading
	dir    string
	device uint64
	links  map[uint64]string // first name by inode
	out    *tar.Writer
}

func (t *tree) write(w io.Writer) error {
	t.out, t.links = tar.NewWriter(w), map[uint64]string{}
	err := filepath.WalkDir(t.dir, func(path string, _ fs.DirEntry, err error) error {
		if err := errors.Join(err, context.Cause(t.ctx)); err != nil {
			return err
		}
		return t.entry(path)
	})
	if err != nil {
		return fmt.Errorf("reading the root file system in %s: %w", t.dir, err)
	}
	return t.out.Close()
}

func (t *tree) entry(path string) error {
	name, err := filepath.Rel(t.dir, path)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if name == "." {
		t.device = info.Sys().(*syscall.Stat_t).Dev
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	h, err := t.header(path, name, info)
	if err != nil {
		return err
	}
	if err := t.out.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if h.Typeflag == tar.TypeReg {
		if err := t.content(path, h.Size); err != nil {
			return err
		}
	}
	if info.IsDir() && info.Sys().(*syscall.Stat_t).Dev != t.device {
		return filepath.SkipDir
	}
	return nil
}

func (t *tree) header(path, name string, info fs.FileInfo) (*tar.Header, error) {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h.Name, h.Format, h.Uname, h.Gname = name, tar.FormatPAX, "", ""
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{} // reading changes them
	if info.IsDir() {
		h.Name += "/"
	}
	if h.PAXRecords, err = xattrs(path); err != nil {
		return nil, err
	}
	t.link(h, info)
	return h, nil
}

// link makes all but the first name of a file hard links.
func (t *tree) link(h *tar.Header, info fs.FileInfo) {
	st := info.Sys().(*syscall.Stat_t)
	if info.IsDir() || st.Nlink < 2 {
		return
	}
	first, seen := t.links[st.Ino]
	if !seen {
		t.links[st.Ino] = h.Name
		return
	}
	h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, first, 0, nil
}

func (t *tree) content(path string, size int64) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if n, err := io.CopyN(t.out, f, size); err != nil {
		return fmt.Errorf("%s: after %d of %d bytes: %w", path, n, size, unexpected(err))
	}
	return nil
}

// xattrs returns a file's extended attributes as PAX records; none on a file
// system without extended attributes.
func xattrs(path string) (map[string]string, error) {
	list, err := readXattr(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if errors.Is(err, unix.ENOTSUP) || len(list) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		value, err := readXattr(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		records["SCHILY.xattr."+name] = string(value)
	}
	return records, nil
}

// readXattr asks for the size first.
func readXattr(read func([]byte) (int, error)) ([]byte, error) {
	n, err := read(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	b := make([]byte, n)
	n, err = read(b)
	return b[:max(0, n)], err
}
