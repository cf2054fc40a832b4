// SPDX-License-Identifier: Apache-2.0

package netboot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxManifest is the largest netboot.json that is read, in bytes; ours has about 2 KiB.
const maxManifest = 1 << 20

// ParseManifest reads a netboot.json. The error is ErrFolder.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrFolder, ManifestName, err)
	}
	if m.Format != FormatVersion {
		return m, fmt.Errorf("%w: %s has format %d, and this program reads %d: make the folder anew", ErrFolder, ManifestName, m.Format, FormatVersion)
	}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Path) || f.Path == "." || f.Size < 0 {
			return m, fmt.Errorf("%w: %s names the file %q of %d bytes", ErrFolder, ManifestName, f.Path, f.Size)
		}
	}
	if err := checkLine(m.Image.Cmdline); err != nil {
		return m, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return m, nil
}

// Names lists the files of a folder that Write wrote; none if there is no netboot.json. An
// error says that it cannot be read.
func Names(dir string) ([]string, error) {
	data, err := readSmall(filepath.Join(dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(data)
	names := []string{ManifestName}
	for _, f := range m.Files {
		names = append(names, f.Path)
	}
	return names, err
}

// Open opens a folder that Write wrote, and compares every file with its digest. The
// files stay open until Close, so that nothing can vanish. Errors are ErrFolder; they name
// the file.
func Open(dir string) (_ *Boot, end func() error, err error) {
	data, err := readSmall(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, nil, err
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, nil, err
	}
	var open files
	defer func() {
		if err != nil {
			err = errors.Join(err, open.close())
		}
	}()
	b := &Boot{Facts: m.Image}
	for _, w := range m.Files {
		f, err := open.add(dir, w)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains([]string{Script, GRUBConfig}, w.Path) { // made anew, for the server
			b.Files = append(b.Files, f)
		}
	}
	return b, open.close, b.checkComplete()
}

// checkComplete refuses a folder without one of the files that every boot needs.
func (b *Boot) checkComplete() error {
	for _, name := range []string{Kernel, Initrd, Live} {
		if _, ok := b.File(name); !ok {
			return fmt.Errorf("%w: %s names no %s: make the folder anew", ErrFolder, ManifestName, name)
		}
	}
	return nil
}

func readSmall(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrFolder, path, maxManifest)
	}
	return data, err
}

// files are those that are open.
type files []*os.File

// add opens a file and compares it with the manifest.
func (l *files) add(dir string, w Written) (File, error) {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(w.Path)))
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("%w: %s names %s, which has vanished from %s: make the folder anew", ErrFolder, ManifestName, w.Path, dir)
	}
	if err != nil {
		return File{}, err
	}
	*l = append(*l, f)
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	if err != nil {
		return File{}, err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); n != w.Size || got != w.SHA256 {
		return File{}, fmt.Errorf("%w: %s in %s is not what %s says (%d bytes of %d, SHA-256 %.12s… where %.12s… should be): make the folder anew", ErrFolder, w.Path, dir, ManifestName, n, w.Size, got, w.SHA256)
	}
	return File{Path: w.Path, Size: w.Size, Data: f, SHA256: w.SHA256}, nil
}

func (l *files) close() error {
	var all []error
	for _, f := range *l {
		all = append(all, f.Close())
	}
	return errors.Join(all...)
}
