// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/ondisk/cpio"
)

// netbootName is the folder of a build with the files for the network boot, and the name of
// the artifact.
const netbootName = "netboot"

// addNetboot writes the files for the network boot.
func (b *build) addNetboot(ctx context.Context, image *madeImage, r *Result) error {
	boot, closeRoot, err := openNetboot(image.root, image.Digest, b.recipe.Arch, netbootConfigs(b.configs, false))
	if err != nil {
		return err
	}
	err = b.step("netboot: "+netbootName, func(s progress.Step) (bool, error) {
		made, err := boot.Write(ctx, b.out.staged(netbootName), s.Progress)
		made.Dir = netbootName
		r.Netboot = &made
		return false, err
	})
	return errors.Join(err, closeRoot())
}

// openNetboot makes the boot of a root image, which stays open until it is closed.
func openNetboot(root *rootImage, digest, arch string, configs []cpio.Entry) (_ *netboot.Boot, closeRoot func() error, err error) {
	file, err := os.Open(root.path)
	if err != nil {
		return nil, nil, err
	}
	i := netboot.Image{Slot: root.image, Root: file, Digest: digest, Arch: arch}
	// An image without programs for UEFI boots machines with BIOS.
	if efi, err := bootloader.NetworkPrograms(root.image.Bootloader, netboot.EFIArch(arch)); err == nil {
		i.Shim, i.GRUB, i.MokManager = efi.Shim, efi.GRUB, efi.MokManager
	}
	boot, err := netboot.New(i, configs)
	if err != nil {
		return nil, nil, errors.Join(badInput(err), file.Close())
	}
	return boot, file.Close, nil
}

func netbootConfigs(configs []cloudConfig, install bool) []cpio.Entry {
	var data [][]byte
	for _, c := range configs {
		data = append(data, c.data)
	}
	return netboot.ConfigEntries(data, install)
}

// NetbootOptions are the options of `kairos-build netboot` and `serve-netboot`.
type NetbootOptions struct {
	Image        string // an output folder of `kairos-build flavor`, or what source.Open takes
	Arch         string // default amd64
	Path         string // the folder to write
	CloudConfigs []string
	Install      bool           // asks for an automatic installation
	Configs      config.Options // how CloudConfigs are checked; see Options
	State        string         // folder that outlives a build; see MakeState
	Progress     progress.Reporter
	Log          *slog.Logger
}

// OpenNetboot makes the boot of an image, or opens a folder that MakeNetboot wrote. close
// ends the use of it.
func OpenNetboot(ctx context.Context, o NetbootOptions) (_ *netboot.Boot, closeFiles func() error, err error) {
	configs, err := readConfigs(o.CloudConfigs, o.Configs, o.Log)
	if err != nil {
		return nil, nil, err
	}
	if exists(filepath.Join(o.Image, netboot.ManifestName)) {
		return openNetbootFolder(o.Image, netbootConfigs(configs, o.Install))
	}
	image, err := (&recorder{to: o.Progress}).openMade(ctx, o.State, o.Image, o.Arch, configs)
	if err != nil {
		return nil, nil, err
	}
	return openNetboot(image.root, image.digest, image.config.Architecture, netbootConfigs(configs, o.Install))
}

func openNetbootFolder(dir string, configs []cpio.Entry) (*netboot.Boot, func() error, error) {
	boot, closeFiles, err := netboot.Open(dir)
	if err != nil {
		return nil, nil, badInput(err)
	}
	if err := boot.SetConfigs(configs); err != nil {
		return nil, nil, errors.Join(err, closeFiles())
	}
	return boot, closeFiles, nil
}

// MakeNetboot writes a folder with the files for the network boot of an image. It replaces
// a folder that it wrote before, in one step, and refuses one with other files.
func MakeNetboot(ctx context.Context, o NetbootOptions) (made netboot.Manifest, err error) {
	dir, err := filepath.Abs(o.Path)
	if err != nil {
		return made, err
	}
	if err := checkNetbootFolder(dir); err != nil {
		return made, err
	}
	boot, closeFiles, err := OpenNetboot(ctx, o)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, closeFiles()) }()
	out, err := openOutputs(ctx, filepath.Dir(dir), o.State, func() { o.Log.Warn("another build writes to " + filepath.Dir(dir) + ": waiting for its end") })
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	name := filepath.Base(dir)
	err = (&recorder{to: o.Progress}).step("netboot: "+o.Path, func(s progress.Step) (bool, error) {
		made, err = boot.Write(ctx, out.staged(name), s.Progress)
		return false, err
	})
	made.Dir = o.Path
	if err != nil {
		return made, err
	}
	return made, out.publish(name)
}

// checkNetbootFolder refuses to replace a folder with a person's files: with others than
// those of its netboot.json.
func checkNetbootFolder(dir string) error {
	ours, err := netboot.Names(dir)
	if err != nil {
		return badInput(fmt.Errorf("%s: %w; choose an empty or new folder with -o", dir, err))
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !slices.Contains(ours, filepath.ToSlash(name)) {
			err = fmt.Errorf("it holds other files, which would be lost, such as %s", name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return badInput(fmt.Errorf("%s: %w; choose an empty or new folder with -o", dir, err))
	}
	return nil
}
