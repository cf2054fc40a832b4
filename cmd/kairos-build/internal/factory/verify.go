// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/install/disk"
)

// VerifyOptions are the options of `kairos-build disk --verify`.
type VerifyOptions struct {
	Build    string // folder of a build, its build.json, or the output of `kairos-build disk --json`
	Path     string // of the only disk in Build, or a device; default: the path in Build
	Progress progress.Reporter
}

// VerifyDisks reads disks and compares them with their descriptions from the time when
// they were made. It returns the disks that match. The error names the others, and
// wraps disk.ErrDiffers if a disk differs.
func VerifyDisks(ctx context.Context, o VerifyOptions) (good []Disk, err error) {
	disks, err := describedDisks(o.Build)
	if err == nil && o.Path != "" && len(disks) > 1 {
		err = fmt.Errorf("%s describes %d disks: which one is %s?", o.Build, len(disks), o.Path)
	}
	if err != nil {
		return nil, badInput(err)
	}
	rec := &recorder{to: o.Progress}
	for _, d := range disks {
		if o.Path != "" {
			d.Path = o.Path
		}
		stepErr := rec.step("verifying "+d.Path, func(progress.Step) (bool, error) { return false, d.verify(ctx) })
		if stepErr == nil {
			good = append(good, d)
		}
		err = errors.Join(err, stepErr)
	}
	return good, err
}

// BuiltImage is the digest of the image in the output folder of a build, or empty if there
// is none.
func BuiltImage(dir string) string {
	var r Result
	if err := readJSON(filepath.Join(dir, resultName), &r); err != nil || r.Image == nil {
		return ""
	}
	return r.Image.Digest
}

// ReadResult reads the description of a build in its folder.
func ReadResult(dir string) (*Result, error) {
	r := &Result{}
	return r, readJSON(filepath.Join(dir, resultName), r)
}

// RegistryOf is where the flavor of a build is published: REGISTRY/NAME. The error says what
// to do if the folder is none of a build, or its flavor names no registry.
func RegistryOf(dir string) (string, error) {
	var r Result
	if err := readJSON(filepath.Join(dir, resultName), &r); err != nil {
		return "", badInput(fmt.Errorf("%w: name the repository, too, as REGISTRY/NAME", err))
	}
	if r.Registry == "" {
		return "", badInput(fmt.Errorf("the flavor %s names no registry: name the repository behind %s, as REGISTRY/NAME, or write it into the flavor, with the key registry", r.Flavor, dir))
	}
	return r.Registry, nil
}

// describedDisks reads the disks of a description. Relative paths in it begin at its
// folder.
func describedDisks(path string) ([]Disk, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, resultName)
	}
	var found struct {
		Disks []Disk `json:"disks"`
		Disk
	}
	if err := readJSON(path, &found); err != nil {
		return nil, err
	}
	if found.Kind != "" {
		found.Disks = append(found.Disks, found.Disk)
	}
	if len(found.Disks) == 0 {
		return nil, fmt.Errorf("%s describes no disk", path)
	}
	for i, d := range found.Disks {
		if !filepath.IsAbs(d.Path) {
			found.Disks[i].Path = filepath.Join(filepath.Dir(path), d.Path)
		}
	}
	return found.Disks, nil
}

func (d Disk) verify(ctx context.Context) (err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return badInput(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = d.compare(ctx, f)
	switch {
	case errors.Is(err, disk.ErrDiffers):
		return fmt.Errorf("%s: %w; copy it again, or make it again. A disk that a machine was booted from always differs: it got its own identity", d.Path, err)
	case err != nil:
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	return nil
}

// compare reads a raw disk by its extents, and another file as a whole.
func (d Disk) compare(ctx context.Context, f *os.File) error {
	if d.Kind == kindRaw && d.Compression == "" {
		return disk.Verify(ctx, f, d.Size, d.Extents)
	}
	if d.SHA256 == "" {
		return badInput(fmt.Errorf("nothing says what is in a %s file: its SHA-256 was not made; make it again with --checksum (`kairos-build disk`) or --artifact %s,%s (`kairos-build flavor`)", d.format(), d.Kind, kindChecksum))
	}
	sum, n := sha256.New(), int64(0)
	for {
		step, err := io.CopyN(sum, f, copyStep)
		n += step
		if errors.Is(err, io.EOF) {
			break
		}
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.SHA256 {
		return fmt.Errorf("%w: it has %d bytes with the SHA-256 %s, and had %d bytes with %s", disk.ErrDiffers, n, got, d.FileSize, d.SHA256)
	}
	return nil
}

// copyStep is the number of bytes between two checks of the context.
const copyStep = 16 << 20

// format is the format with the compression, such as raw.zst.
func (d Disk) format() string { return strings.TrimSuffix(d.Kind+"."+d.Compression, ".") }
