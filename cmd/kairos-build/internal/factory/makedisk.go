// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// DiskOptions are the options of `kairos-build disk`.
type DiskOptions struct {
	Image string // an output folder of `kairos-build flavor`, or what source.Open takes
	Arch  string // default amd64
	// Path of the disk; its end says the format where Artifacts does not. Default: disk,
	// with the format's own end.
	Path         string
	Artifacts    []string // formats, of DiskKinds; default: by Path, else raw
	Compress     string   // one of Compressions; default: by Path, else none
	Checksum     bool     // of each file, beside it
	CloudConfigs []string
	// Configs says how CloudConfigs are checked; see Options.
	Configs  config.Options
	Sizes    layout.Sizes // of the partitions; zero means layout's defaults
	State    string       // folder that outlives a build; see MakeState
	Progress progress.Reporter
	Log      *slog.Logger
}

// MakeDisks makes the disk of an existing image, without a build, in one file or several.
// The paths of the result begin where o.Path begins.
func MakeDisks(ctx context.Context, o DiskOptions) ([]Disk, error) {
	files, err := diskFiles(o.Path, o.Artifacts, o.Compress)
	if err != nil {
		return nil, badInput(err)
	}
	configs, err := readConfigs(o.CloudConfigs, o.Configs, o.Log)
	if err != nil {
		return nil, err
	}
	rec := &recorder{to: o.Progress}
	made, err := rec.openMade(ctx, o.State, o.Image, o.Arch, configs)
	if err != nil {
		return nil, err
	}
	set := diskSet{files: files, image: made.root, digest: made.digest, checksum: o.Checksum, spec: disk.Spec{
		OEM: oemEntries(configs), Sizes: o.Sizes, Time: made.config.Created.Time,
	}}
	return set.make(ctx, rec)
}

// make writes the files, and their checksums beside them.
func (s diskSet) make(ctx context.Context, rec *recorder) (made []Disk, err error) {
	err = rec.step("disk: "+s.names(), func(progress.Step) (bool, error) {
		made, err = s.write(ctx)
		if err == nil && s.checksum {
			err = writeChecksums(s.dir(), made)
		}
		return false, err
	})
	for i := range made {
		made[i].Path = s.files[i].path
		if made[i].Checksum != "" {
			made[i].Checksum = filepath.Join(s.dir(), made[i].Checksum)
		}
	}
	return made, err
}
