// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// maxLayoutFile is the largest file of a layout, in bytes, that is read into memory.
const maxLayoutFile = 16 << 20

// layoutFiles are the small files of an OCI layout.
type layoutFiles interface {
	read(name string) ([]byte, error)
	// write adds files, and then replaces the index.json.
	write(files map[string][]byte, index []byte) error
}

func openLayoutFiles(path string) (layoutFiles, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return layoutFolder(path), nil
	}
	return layoutTar(path), nil
}

// A layoutFolder is a layout in a folder.
type layoutFolder string

func (d layoutFolder) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSmall(f, name)
}

func (d layoutFolder) write(files map[string][]byte, index []byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		to := filepath.Join(string(d), name)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := durable.Write(to, files[name], 0o644); err != nil {
			return err
		}
	}
	return durable.Write(filepath.Join(string(d), indexName), index, 0o644)
}

// A layoutTar is a layout in a tar, not compressed.
type layoutTar string

var errFound = errors.New("found")

func (t layoutTar) read(name string) (data []byte, err error) {
	err = t.each(func(h *tar.Header, r io.Reader) error {
		if path.Clean(h.Name) != name || h.Typeflag != tar.TypeReg {
			return nil
		}
		if data, err = readSmall(r, name); err != nil {
			return err
		}
		return errFound
	})
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case errors.Is(err, errFound):
		return data, nil
	}
	return nil, err
}

func (t layoutTar) each(do func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(string(t))
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is no tar, or a compressed one: %w", err)
		}
		if err := do(h, r); err != nil {
			return err
		}
	}
}

// write writes the tar anew, beside the old one, and replaces it.
func (t layoutTar) write(files map[string][]byte, index []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(string(t)), "."+filepath.Base(string(t))+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := t.copyTo(f, files, index); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), string(t)); err != nil {
		return err
	}
	return f.Close()
}

func (t layoutTar) copyTo(f io.Writer, files map[string][]byte, index []byte) error {
	w := tar.NewWriter(f)
	have := map[string]bool{}
	if err := t.each(func(h *tar.Header, r io.Reader) error {
		if path.Clean(h.Name) == indexName {
			return nil
		}
		have[path.Clean(h.Name)] = true
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, r)
		return err
	}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if have[name] {
			continue
		}
		if err := addFile(w, name, files[name]); err != nil {
			return err
		}
	}
	return errors.Join(addFile(w, indexName, index), w.Close())
}

func addFile(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func readSmall(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLayoutFile+1))
	if err == nil && len(data) > maxLayoutFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxLayoutFile)
	}
	return data, err
}

// IsLayout tells whether a path is an OCI layout: a folder or a tar with an index.json.
func IsLayout(path string) bool {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return false
	case info.IsDir():
		return isLayout(path)
	case !info.Mode().IsRegular():
		return false
	}
	_, err = layoutTar(path).read(ocispec.ImageLayoutFile)
	return err == nil
}
