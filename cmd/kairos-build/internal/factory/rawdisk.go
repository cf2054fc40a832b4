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
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/disk"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/source"
)

// makeDisk writes the raw disk.
func (b *build) makeDisk(ctx context.Context, image *madeImage) (Disk, error) {
	var made Disk
	err := b.step("disk: "+rawName, func(progress.Step) (bool, error) {
		var err error
		made, err = writeRaw(ctx, b.out.staged(rawName), rawSpec{
			root: image.root, seed: image.Digest, configs: b.configs, sizes: b.Sizes, at: b.recipe.Epoch,
			hashes: filepath.Join(b.stateDir, "hashes"), log: b.Log,
		})
		return false, err
	})
	return made, err
}

// rawSpec is what a raw disk is made from.
type rawSpec struct {
	root    *rootImage
	seed    string // the image's digest: every identifier comes from it
	configs []cloudConfig
	sizes   layout.Sizes
	at      time.Time
	hashes  string // folder of disk's saved hash states
	log     *slog.Logger
}

func writeRaw(ctx context.Context, path string, s rawSpec) (_ Disk, err error) {
	root, err := os.Open(s.root.path)
	if err != nil {
		return Disk{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	result, err := disk.Write(ctx, path, disk.Spec{
		Image: s.root.image, BootLoader: diskLoader, Root: root, OEM: oemEntries(s.configs), Sizes: s.sizes,
		ID: sha256.Sum256([]byte(s.seed)), Time: s.at, Cache: disk.DirCache(s.hashes), Log: s.log,
	})
	if s.sizes != (layout.Sizes{}) && errors.Is(err, disk.ErrTooLarge) {
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
		Kind: ArtifactRaw, Path: rawName, Size: result.Size, Allocated: st.Blocks * 512,
		SHA256: hex.EncodeToString(result.SHA256[:]), RootHash: hex.EncodeToString(s.root.image.Tree.RootHash[:]),
	}, nil
}

// oemEntries puts the cloud-configs where Kairos's installer puts the user's:
// 90_custom.yaml, 91_custom.yaml, … They may hold secrets, so only root reads
// them.
func oemEntries(configs []cloudConfig) []ext4.Entry {
	entries := make([]ext4.Entry, len(configs))
	for i, c := range configs {
		entries[i] = ext4.Entry{Path: fmt.Sprintf("%02d_custom.yaml", 90+i), Mode: 0o600, Data: c.data}
	}
	return entries
}

// DiskOptions are what `kairos-build disk` asks for.
type DiskOptions struct {
	Image        string // OCI layout, OCI archive or registry reference
	Arch         string // default amd64
	Path         string // of the disk; default disk.raw
	CloudConfigs []string
	// Configs says how they are checked; see Options.
	Configs  config.Options
	Sizes    layout.Sizes // of the partitions; zero means layout's defaults
	Progress Reporter
	Log      *slog.Logger
}

// MakeDisk makes a disk from an image that exists, without building anything.
func MakeDisk(ctx context.Context, o DiskOptions) (_ Disk, err error) {
	configs, err := readConfigs(o.CloudConfigs, o.Configs, o.Log)
	if err != nil {
		return Disk{}, err
	}
	state, _, err := State(engine.Options{})
	if err != nil {
		return Disk{}, err
	}
	image, err := source.Open(ctx, o.Image, source.Options{Arch: o.Arch})
	if errors.Is(err, source.ErrPlatform) {
		err = fmt.Errorf("%w; choose with --arch", err)
	}
	if err != nil {
		return Disk{}, badInput(err)
	}
	created, err := createdAt(image)
	if err != nil {
		return Disk{}, fmt.Errorf("%s: %w", o.Image, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return Disk{}, fmt.Errorf("%s: %w", o.Image, err)
	}
	rec := &recorder{to: o.Progress}
	var made Disk
	root, err := rec.makeRoot(ctx, state, image)
	if err != nil {
		return Disk{}, err
	}
	err = rec.step("disk: "+o.Path, func(progress.Step) (bool, error) {
		made, err = writeRaw(ctx, o.Path, rawSpec{root: root, seed: digest.String(), configs: configs, sizes: o.Sizes, at: created, hashes: filepath.Join(state, "hashes"), log: o.Log})
		return false, err
	})
	made.Path = o.Path
	return made, err
}

func createdAt(image v1.Image) (time.Time, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return time.Time{}, err
	}
	return config.Created.Time, nil
}
