// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/iso"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
)

// ISOName is the file of the installer medium in the folder of a build, and kindISO its kind.
const (
	ISOName = "live.iso"
	kindISO = "iso"
)

// addISO writes the installer medium.
func (b *build) addISO(ctx context.Context, image *madeImage, r *Result) error {
	return b.step("ISO: "+ISOName, func(progress.Step) (bool, error) {
		made, err := writeISO(ctx, b.out.staged(ISOName), image.root, image.Digest, b.recipe.Epoch, b.configs, 0)
		made.Path = ISOName
		r.Disks = append(r.Disks, made)
		return false, err
	})
}

// writeISO writes the ISO of a root image. All identifiers are derived from the digest of
// the OCI image.
func writeISO(ctx context.Context, path string, image *rootImage, digest string, epoch time.Time, configs []cloudConfig, persistent int64) (_ Disk, err error) {
	root, err := os.Open(image.path)
	if err != nil {
		return Disk{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	s := iso.Spec{Image: image.image, BootLoader: mediumLoader, Root: root, Digest: digest, Time: epoch, Persistent: persistent}
	for _, c := range configs {
		s.Configs = append(s.Configs, c.data)
	}
	made, err := iso.Write(ctx, path, s)
	if err != nil {
		return Disk{}, err
	}
	extents := []disk.Extent{{Partition: kindISO, Size: made.Size, SHA256: made.SHA256}}
	return Disk{
		Kind: kindISO, Path: path, Size: made.Size, FileSize: made.Size, Allocated: made.Size, SHA256: made.SHA256,
		Content: disk.Content(made.Size, extents), Extents: extents, RootHash: hex.EncodeToString(image.image.Tree.RootHash[:]),
	}, nil
}

// ISOOptions are the options of `kairos-build iso`.
type ISOOptions struct {
	Image        string // as in DiskOptions
	Arch         string // default amd64
	Path         string // of the ISO
	CloudConfigs []string
	Configs      config.Options
	Persistent   int64  // bytes of a partition that keeps data on a stick; 0: none
	State        string // folder that outlives a build; see MakeState
	Progress     progress.Reporter
	Log          *slog.Logger
}

// MakeISO makes the installer medium of an existing image, without a build.
func MakeISO(ctx context.Context, o ISOOptions) (made Disk, err error) {
	configs, err := readConfigs(o.CloudConfigs, o.Configs, o.Log)
	if err != nil {
		return Disk{}, err
	}
	rec := &recorder{to: o.Progress}
	image, err := rec.openMade(ctx, o.State, o.Image, o.Arch, configs)
	if err != nil {
		return Disk{}, err
	}
	err = rec.step("ISO: "+o.Path, func(progress.Step) (bool, error) {
		made, err = writeISO(ctx, o.Path, image.root, image.digest, image.config.Created.Time, configs, o.Persistent)
		return false, err
	})
	return made, err
}

// AddConfig checks a cloud-config and puts it into a finished ISO, or into a copy at the
// path to.
func AddConfig(ctx context.Context, path, to, file string, how config.Options, log *slog.Logger) error {
	configs, err := readConfigs([]string{file}, how, log)
	if err != nil {
		return err
	}
	if len(configs) != 1 {
		return badInput(errors.New(file + ": want one cloud-config: an ISO has room for one"))
	}
	err = iso.AddConfig(ctx, path, to, configs[0].data)
	for _, bad := range []error{iso.ErrNotOurs, iso.ErrNoSpace, iso9660.ErrNotISO, iso9660.ErrDamaged, os.ErrNotExist} {
		if errors.Is(err, bad) {
			return badInput(err)
		}
	}
	return err
}
