// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// addRaw writes the raw disk.
func (b *build) addRaw(ctx context.Context, image *madeImage, r *Result) error {
	return b.step("disk: "+rawName, func(progress.Step) (bool, error) {
		made, err := writeRaw(ctx, b.out.staged(rawName), image.root, image.Digest, disk.Spec{
			OEM: oemEntries(b.configs), Sizes: b.Sizes, Time: b.recipe.Epoch, Whole: slices.Contains(b.Artifacts, kindChecksum),
		})
		r.Disks = append(r.Disks, made)
		return false, err
	})
}

// writeRaw writes the disk of a root image. All identifiers are derived from the
// digest of the OCI image.
func writeRaw(ctx context.Context, path string, image *rootImage, digest string, s disk.Spec) (_ Disk, err error) {
	root, err := os.Open(image.path)
	if err != nil {
		return Disk{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	s.Image, s.Root, s.ID = image.image, root, sha256.Sum256([]byte(digest))
	s.BootLoader = diskLoader
	result, err := disk.Write(ctx, path, s)
	if s.Sizes != (layout.Sizes{}) && errors.Is(err, disk.ErrTooLarge) {
		return Disk{}, badInput(fmt.Errorf("%w: see --slot-size and --recovery-size", err))
	}
	if err != nil {
		return Disk{}, err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return Disk{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return Disk{
		Kind: kindRaw, Path: rawName, Size: result.Size, Allocated: st.Blocks * 512,
		Content: disk.Content(result.Size, result.Extents), SHA256: result.SHA256, Extents: result.Extents, RootHash: hex.EncodeToString(image.image.Tree.RootHash[:]),
	}, nil
}

// oemEntries gives the cloud-configs the names that Kairos's installer gives the
// user's: 90_custom.yaml, 91_custom.yaml, … They may hold secrets, so only root may
// read them.
func oemEntries(configs []cloudConfig) []ext4.Entry {
	entries := make([]ext4.Entry, len(configs))
	for i, c := range configs {
		entries[i] = ext4.Entry{Path: fmt.Sprintf("%02d_custom.yaml", 90+i), Mode: 0o600, Data: c.data}
	}
	return entries
}

// DiskOptions are the options of `kairos-build disk`.
type DiskOptions struct {
	Image        string // an output folder of `kairos-build flavor`, or what source.Open takes
	Arch         string // default amd64
	Path         string // of the disk; default disk.raw
	CloudConfigs []string
	// Configs says how CloudConfigs are checked; see Options.
	Configs  config.Options
	Sizes    layout.Sizes // of the partitions; zero means layout's defaults
	State    string       // folder that outlives a build; see MakeState
	Progress progress.Reporter
	Log      *slog.Logger
}

// MakeDisk makes a disk from an existing image, without a build.
func MakeDisk(ctx context.Context, o DiskOptions) (made Disk, err error) {
	configs, err := readConfigs(o.CloudConfigs, o.Configs, o.Log)
	if err != nil {
		return Disk{}, err
	}
	if err := MakeState(o.State); err != nil {
		return Disk{}, err
	}
	image, digest, err := openImage(ctx, o.Image, o.Arch)
	if err != nil {
		return Disk{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return Disk{}, fmt.Errorf("%s: %w", o.Image, err)
	}
	rec := &recorder{to: o.Progress}
	root, err := rec.makeRoot(ctx, o.State, image)
	if err != nil {
		return Disk{}, err
	}
	if err := checkKubernetesOf(configs, root); err != nil {
		return Disk{}, err
	}
	err = rec.step("disk: "+o.Path, func(progress.Step) (bool, error) {
		made, err = writeRaw(ctx, o.Path, root, digest, disk.Spec{
			OEM: oemEntries(configs), Sizes: o.Sizes, Time: config.Created.Time,
		})
		return false, err
	})
	made.Path = o.Path
	return made, err
}
