// SPDX-License-Identifier: Apache-2.0

// Package bundle is the archive at the end of a release file: the programs that k3s
// and k0s carry inside themselves. A release file is a program, followed by a zip.
//
// The zip has release.json (a Release), and below bin/ the programs, compressed with
// zstd. Package bundle unpacks them as k3s does (Data) and as k0s does (Stage).
package bundle

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	releaseFile = "release.json"
	programs    = "bin/"
)

// ErrNone is returned by Open for a program without an archive.
var ErrNone = errors.New("no archive at its end")

// A Release is what a release file says of itself.
type Release struct {
	Version      string            `json:"version"`                // for example v1.36.3+k3s1
	Etcd         string            `json:"etcd,omitempty"`         // the version that etcd gives itself; empty: its own
	WithoutFlags []string          `json:"withoutFlags,omitempty"` // arguments that this version does not know
	Links        map[string]string `json:"links,omitempty"`        // another name of a program -> its name
	Size         int64             `json:"size"`                   // bytes before the zip
	Hash         string            `json:"hash"`                   // of all programs; the name of k3s' folder
}

// A Bundle is an open release file.
type Bundle struct {
	Release
	file *os.File
	info os.FileInfo
	zip  *zip.Reader
}

// Open opens a release file. Its error is ErrNone for a program without programs in it.
func Open(name string) (*Bundle, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := read(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the programs in %s: %w", name, err), file.Close())
	}
	return b, nil
}

func read(file *os.File) (*Bundle, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(file, info.Size())
	if errors.Is(err, zip.ErrFormat) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	archive.RegisterDecompressor(zstd.ZipMethodWinZip, zstd.ZipDecompressor())
	b := &Bundle{file: file, info: info, zip: archive}
	return b, b.readRelease()
}

func (b *Bundle) readRelease() error {
	r, err := b.zip.Open(releaseFile)
	if err != nil {
		return err
	}
	return errors.Join(json.NewDecoder(r).Decode(&b.Release), r.Close())
}

// Close closes the release file.
func (b *Bundle) Close() error { return b.file.Close() }

// Programs gives the names of the programs, without their links.
func (b *Bundle) Programs() []string {
	var names []string
	for _, f := range b.zip.File {
		if name, ok := strings.CutPrefix(f.Name, programs); ok {
			names = append(names, name)
		}
	}
	return names
}

// copyTo writes one program. The file must not exist.
func (b *Bundle) copyTo(name, target string, perm os.FileMode) error {
	in, err := b.zip.Open(path.Join(programs, name))
	if err != nil {
		return err
	}
	return errors.Join(create(target, in, perm), in.Close())
}

// launcher writes the program that stands before the zip.
func (b *Bundle) launcher(target string) error {
	return create(target, io.NewSectionReader(b.file, 0, b.Size), 0o755)
}

func create(target string, in io.Reader, perm os.FileMode) error {
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
