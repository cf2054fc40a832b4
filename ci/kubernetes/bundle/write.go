// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Contents are the files of a release file.
type Contents struct {
	Launcher string            // the program before the zip
	Programs map[string]string // name in the zip -> file
}

// Write makes a release file. It sets Size and Hash of the release; the same input
// gives the same bytes.
func Write(target string, r Release, c Contents) error {
	hash, err := c.hash(r)
	if err != nil {
		return err
	}
	r.Hash = hash
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	return errors.Join(c.write(out, r), out.Close())
}

func (c Contents) write(out io.Writer, r Release) error {
	size, err := copyFile(out, c.Launcher)
	if err != nil {
		return err
	}
	r.Size = size
	archive := zip.NewWriter(out)
	archive.RegisterCompressor(zstd.ZipMethodWinZip, zstd.ZipCompressor(zstd.WithEncoderConcurrency(1)))
	archive.SetOffset(size)
	if err := writeRelease(archive, r); err != nil {
		return err
	}
	for _, name := range c.names() {
		if err := writeProgram(archive, name, c.Programs[name]); err != nil {
			return fmt.Errorf("packing %s: %w", name, err)
		}
	}
	return archive.Close()
}

func (c Contents) names() []string { return slices.Sorted(maps.Keys(c.Programs)) }

// hash is over what is unpacked: the programs, and what the release says of itself.
func (c Contents) hash(r Release) (string, error) {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(r); err != nil {
		return "", err
	}
	for _, name := range append(c.names(), "") {
		file := c.Programs[name]
		if name == "" {
			file = c.Launcher
		}
		fmt.Fprintln(sum, name)
		if _, err := copyFile(sum, file); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func writeRelease(archive *zip.Writer, r Release) error {
	w, err := archive.Create(releaseFile)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(r)
}

func writeProgram(archive *zip.Writer, name, file string) error {
	w, err := archive.CreateHeader(&zip.FileHeader{Name: programs + name, Method: zstd.ZipMethodWinZip})
	if err != nil {
		return err
	}
	_, err = copyFile(w, file)
	return err
}

func copyFile(out io.Writer, name string) (int64, error) {
	in, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, in.Close())
}
