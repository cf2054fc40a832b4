// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/internal/tpm"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// InstallOptions say what to install, and where to. Empty values come from the config.
type InstallOptions struct {
	Device string
	// Source is the image, as for an upgrade. Default: the one that runs.
	Source  string
	Upgrade upgrade.Options // how Source is fetched and judged
	Force   bool
	// NoFormat keeps the partitions and data of an installed node.
	NoFormat bool
	// Config is a file that is used in place of the config of the system.
	Config string
	// Text is the content of Config, if it is no file.
	Text []byte
	// Once refuses to install what this machine has.
	Once     bool
	Progress func(disk.Progress)
}

// An Installation is ready to begin.
type Installation struct {
	*install.Plan
	Config   config.Install
	Warnings []string
	hooks    hooks
}

// PrepareInstall checks everything that can be checked. It writes nothing. Close the
// result.
func (n *Node) PrepareInstall(ctx context.Context, o InstallOptions) (*Installation, error) {
	merged, files, err := n.installConfig(o)
	if err != nil {
		return nil, err
	}
	sizes, err := install.Sizes(merged.Install.Sizes)
	if err != nil {
		return nil, err
	}
	encryption, err := install.EncryptionOf(merged)
	if err != nil {
		return nil, err
	}
	boot, err := status.ThisBoot(n.Root)
	if err != nil {
		return nil, err
	}
	i := &Installation{Config: merged.Install, hooks: n.installHooks(merged)}
	image, err := n.installImage(ctx, boot, o, i)
	if err != nil {
		return nil, err
	}
	request := install.Request{
		Image: image, Files: files, Sizes: sizes, Extra: install.Extra(merged.Install.Extra), Once: o.Once,
		Encryption: encryption, Keep: o.NoFormat || isTrue(merged.Install.NoFormat),
		Device: cmp.Or(o.Device, merged.Install.Device), Force: o.Force || isTrue(merged.Install.Force),
		BootLoader: func(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) },
	}
	if i.Plan, err = install.Prepare(ctx, n.installMachine(boot), request, o.Progress); err != nil {
		return nil, errors.Join(err, image.Close())
	}
	return i, nil
}

// Install writes the disk, with the hooks of the config around it. It returns a sentence
// for each hook that failed afterwards.
func (i *Installation) Install(ctx context.Context) ([]string, error) {
	if err := i.hooks.Before(ctx); err != nil {
		return nil, err
	}
	if err := i.Run(ctx); err != nil {
		return nil, err
	}
	return append(i.Warnings, i.hooks.After(ctx)...), nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// installConfig reads the config of an installation. A mistake in it ends it.
func (n *Node) installConfig(o InstallOptions) (*config.Config, []install.File, error) {
	if o.Config != "" {
		return installConfigOf(o)
	}
	loaded := config.Load(os.DirFS(n.Root.Dir), layout.ConfigDirs())
	if err := unfit(loaded.Problems()); err != nil {
		return nil, nil, err
	}
	n.adopt(loaded.Config.Env)
	files, err := install.Files(loaded.Files, n.Root.Read)
	return loaded.Config, files, err
}

func installConfigOf(o InstallOptions) (*config.Config, []install.File, error) {
	data, err := o.Text, error(nil)
	if data == nil {
		if data, err = readConfigFile(o.Config); err != nil {
			return nil, nil, err
		}
	}
	f := config.Options{}.DecodeFile(o.Config, data)
	if err := unfit(f.Problems); err != nil {
		return nil, nil, err
	}
	files, err := install.Files([]config.File{f}, func(string) ([]byte, error) { return data, nil })
	return config.Merge(f.Config), files, err
}

func readConfigFile(name string) (_ []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxSize+1))
	if err == nil && len(data) > config.MaxSize {
		err = fmt.Errorf("%s: a config may have %d MiB", name, config.MaxSize>>20)
	}
	return data, err
}

func unfit(p config.Problems) error {
	if bad := config.Unfit(p); len(bad) > 0 {
		return fmt.Errorf("the config has mistakes, or asks for what an installation cannot do; nothing was written:\n%s", bad.Error())
	}
	return nil
}

// installImage opens the image: the one that is named, that of the medium, or that of the
// running slot.
func (n *Node) installImage(ctx context.Context, boot *thisboot.Boot, o InstallOptions, i *Installation) (*install.Image, error) {
	if source := cmp.Or(o.Source, i.Config.Source); source != "" {
		o.Upgrade.Source = source
		return n.fetchImage(ctx, o, i)
	}
	booted := install.Booted{Boot: boot, Release: status.Release(n.Root), Dir: n.Root.Dir, Loader: bootloader.Installed}
	cmdline, err := n.Root.Read(layout.ImageCmdline)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	booted.Cmdline = strings.TrimSpace(string(cmdline))
	if boot.Mode == layout.ModeLive {
		return install.FromMedium(filepath.Join(n.Root.Dir, layout.LiveDir), booted)
	}
	return install.FromSlot(booted)
}

// fetchImage fetches an image under the policy of this node.
func (n *Node) fetchImage(ctx context.Context, o InstallOptions, i *Installation) (*install.Image, error) {
	to := upgrade.Installation{Release: status.Release(n.Root), BootLoader: bootLoader{}}
	i.Warnings = n.trusting(&to)
	fetched, err := upgrade.Fetch(ctx, to, o.Upgrade)
	if err != nil {
		return nil, fmt.Errorf("fetching the image: %w", err)
	}
	i.Warnings = append(i.Warnings, fetched.Result.Warnings...)
	return &install.Image{
		Slot: fetched.Image, From: "from " + o.Upgrade.Source,
		Stream: func(ctx context.Context, out disk.ReaderWriterAt) (verity.Tree, error) {
			return fetched.Write(ctx, out)
		},
	}, nil
}

// installMachine is the machine below the root of n.
func (n *Node) installMachine(boot *thisboot.Boot) install.Machine {
	root := n.Root.Dir
	system := disks.System{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc"), Booted: map[string]string{}, BIOS: !n.Root.Exists("/sys/firmware/efi")}
	if boot.Disk.Device != "" {
		system.Booted[boot.Disk.Device] = "this system was started from it"
	}
	return install.Machine{
		Disks: system.List,
		Resolve: func(path string) (string, error) {
			path, err := filepath.EvalSymlinks(filepath.Join(root, path))
			return "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/"), err
		},
		Open:      func(path string) (install.Device, error) { return openWhole(filepath.Join(root, path)) },
		Available: func() (int64, error) { return install.Available(filepath.Join(root, "proc/meminfo")) },
		TPM:       func() (install.Sealer, error) { return tpm.Open(filepath.Join(root, "dev")) },
	}
}

// InstallDisks lists the disks of the machine.
func (n *Node) InstallDisks() ([]disks.Disk, error) {
	boot, err := status.ThisBoot(n.Root)
	if err != nil {
		return nil, err
	}
	return n.installMachine(boot).Disks()
}

// A whole is a disk that is locked, so that udev does not look into it meanwhile.
type whole struct{ *upgrade.Partition }

func openWhole(path string) (install.Device, error) {
	p, err := upgrade.OpenPartition(path)
	if err != nil {
		return nil, err
	}
	if _, err := blockdev.Lock(p.File); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return whole{p}, nil
}

// Close has the kernel read the new partition table, and gives the disk back. A disk that
// cannot be read again is read at the next boot.
func (w whole) Close() error {
	_ = blockdev.Reread(w.File)
	return w.Partition.Close()
}

// AwaitDatasource waits until a datasource on the network was asked, if this machine has
// one: its answer may say how to install.
func (n *Node) AwaitDatasource(ctx context.Context) {
	if n.Root.Exists(datasourceMark) {
		n.warn("asking the datasource", n.command(ctx, "systemctl", "start", "kairos-datasource.service"))
	}
}

// AsksInstall tells whether the config asks for an installation without a person, or
// somebody chose one in the menu of the medium.
func (n *Node) AsksInstall() bool {
	line, err := n.Root.Read("/proc/cmdline")
	if err == nil && slices.Contains(strings.Fields(string(line)), layout.ArgInstall) {
		return true
	}
	merged, _ := n.configNow()
	return merged.Install.Asks()
}

// Say prints lines to the journal and every console.
func (n *Node) Say(ctx context.Context, lines ...string) {
	n.warn("writing to the consoles", n.say(ctx, lines...))
}
