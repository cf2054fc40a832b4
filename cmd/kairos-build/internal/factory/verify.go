// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/disk"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// VerifyOptions are what `kairos-build disk --verify` asks for.
type VerifyOptions struct {
	Build    string // the folder of a build, its build.json, or what `kairos-build disk --json` printed
	Path     string // of the one disk that it describes, or a device; default: where that says
	Progress progress.Reporter
}

// VerifyDisks reads disks and compares them with what was said about them when they
// were made. It returns those that are as they were. Others are in the error, which
// is a disk.ErrDiffers.
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

// describedDisks reads a description. Paths in it are relative to its folder.
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
	if err := disk.Verify(ctx, f, d.Size, d.Extents); err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	return nil
}
