// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/machines"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// runFlags are the flags of run.
type runFlags struct {
	boot, program, keep string
	config              string
	memory              int
	noKVM, anew         bool
	iso, netboot        bool
	install             bool
}

// empty tells whether the machine begins with an empty disk or none.
func (f runFlags) empty() bool { return f.iso || f.netboot || f.install }

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Boot what is in DIR, with its console on this terminal",
		Long: `Boots DIR/disk.raw in QEMU. The machine's console is this terminal; its SSH
port is forwarded to a free port of this host. The disk stays as it is: what the
machine writes goes to an overlay that is thrown away at the end.

DIR may also be a flavor: the folder that it was built in is booted.

With --keep the machine gets a copy of the disk under a name, and goes on with it in
the next run: so an upgrade can be played with. ` + "`kairos-build machines`" + ` lists the kept
machines and removes them.

--iso starts the medium DIR/live.iso with an empty disk beside it. --install does so, too,
and lets the medium install itself, with the cloud-config of --cloud-config: the machine
then starts from its disk. ` + "`kairos-build iso DIR -o DIR/live.iso`" + ` makes the medium.

--netboot boots the image over the machine's own network, without a disk, from the files
that ` + "`kairos-build netboot DIR`" + ` writes. With --install it installs itself from there.

With --keep and --install, the machine is kept with the disk that it installs itself to.
No root is needed.`,
		Example: `  kairos-build run out/debian-13
  kairos-build flavor debian-13 --cloud-config me.yaml && kairos-build run out/debian-13
  kairos-build run out/debian-13 --boot secureboot --memory 4096
  kairos-build run out/debian-13 --keep edge   # begins a machine
  kairos-build run --keep edge                 # goes on with it
  kairos-build run out/debian-13 --keep edge --anew
  kairos-build run out/debian-13 --iso
  kairos-build run out/debian-13 --install --cloud-config site.yaml
  kairos-build run out/debian-13 --netboot --boot bios --cloud-config site.yaml
  kairos-build run out/debian-13 --netboot --install --cloud-config site.yaml
  kairos-build run out/debian-13 --install --cloud-config site.yaml --keep edge
  kairos-build run --keep edge                 # starts from the disk that it installed`,
		Args: commandline.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			dir := ""
			if len(args) == 1 {
				var err error
				if dir, err = builtBy(args[0]); err != nil {
					return err
				}
			}
			return f.run(cmd, dir)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.boot, "boot", string(qemu.UEFI), "firmware: bios, uefi or secureboot (a kept machine has the one that it began with)")
	flags.StringVar(&f.keep, "keep", "", "keep the machine under this `name`, or go on with it")
	flags.BoolVar(&f.anew, "anew", false, "begin the kept machine again, with the disk of DIR")
	flags.IntVar(&f.memory, "memory", 0, "`MiB` of memory (default 1536)")
	flags.StringVar(&f.program, "qemu", "", "`program` to use (default qemu-system-x86_64)")
	flags.BoolVar(&f.noKVM, "no-kvm", false, "use emulation without trying KVM")
	flags.BoolVar(&f.iso, "iso", false, "start the medium DIR/live.iso, with an empty disk")
	flags.BoolVar(&f.netboot, "netboot", false, "boot the image from the network, without a disk")
	flags.BoolVar(&f.install, "install", false, "let the medium, or the image from the network, install itself to an empty disk")
	flags.StringVar(&f.config, "cloud-config", "", "`file` with the cloud-config for --install and --netboot")
	commandline.Complete(cmd, "boot", bootNames())
	cmd.MarkFlagsMutuallyExclusive("iso", "install")
	cmd.MarkFlagsMutuallyExclusive("iso", "netboot")
	return cmd
}

// check refuses contradictions.
func (f runFlags) check(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0 && f.keep == "":
		return commandline.Usagef(cmd, "name the folder of a build, such as out/debian-13, or a kept machine with --keep")
	case len(args) == 0 && f.empty():
		return commandline.Usagef(cmd, "--iso, --netboot and --install need the folder of a build; without it, --keep goes on with the machine's disk")
	case f.keep != "" && f.empty() && !f.install:
		return commandline.Usagef(cmd, "--keep keeps a machine with a disk: add --install, or leave out --iso and --netboot")
	case f.install && f.config == "":
		return commandline.Usagef(cmd, "--install needs --cloud-config FILE: without a user nobody could log in")
	case !f.install && !f.netboot && f.config != "":
		return commandline.Usagef(cmd, "--cloud-config belongs to --install and --netboot; a disk gets its own with `kairos-build flavor --cloud-config`")
	}
	return nil
}

// run boots the disk of dir, an empty machine, or a kept one.
func (f runFlags) run(cmd *cobra.Command, dir string) (err error) {
	chosen, err := chooseBoots([]string{f.boot})
	if err != nil {
		return err
	}
	o := lab.Options{Disk: filepath.Join(dir, "disk.raw"), Boots: chosen, QEMU: f.program, NoKVM: f.noKVM}
	if _, err := os.Stat(o.Disk); dir != "" && err != nil {
		return fmt.Errorf("nothing to run: %w; build it first with `kairos-build flavor`", err)
	}
	with := parts{medium: medium{disk: o.Disk}}
	if f.empty() {
		m, err := f.medium(cmd, dir, chosen[0])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		with.medium = *m
	}
	if f.keep != "" {
		if with.kept, err = f.kept(cmd, dir, with.user, o.Boots[0]); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, with.kept.Close()) }()
		with.disk, with.user = with.kept.Disk(), with.kept.User
		if !cmd.Flags().Changed("boot") {
			o.Boots = []qemu.Boot{with.kept.Boot}
		}
	}
	return f.attach(cmd, o, with)
}

// medium is what an empty machine starts.
func (f runFlags) medium(cmd *cobra.Command, dir string, boot qemu.Boot) (*medium, error) {
	if f.netboot {
		return openNetwork(cmd, dir, f.install, f.config, boot)
	}
	return openMedium(dir, f.install, f.config)
}

// The parts of a machine.
type parts struct {
	medium
	kept *machines.Machine // keeps its state; nil: nothing does
}

// attach boots a machine, and connects its console with the terminal.
func (f runFlags) attach(cmd *cobra.Command, o lab.Options, with parts) (err error) {
	config, err := with.config(cmd.Context(), o)
	if err != nil {
		return err
	}
	if f.memory > 0 {
		config.MemoryMiB = f.memory
	}
	if !f.empty() && (with.kept == nil || !with.kept.Empty) {
		if with.user, err = loginUser(with.disk); err != nil {
			return err
		}
	}
	vm, err := qemu.Start(cmd.Context(), config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	return vm.Attach(cmd.Context(), qemu.Terminal{In: os.Stdin, Out: cmd.OutOrStdout(), Talk: cmd.ErrOrStderr()}, with.user)
}

// config is the machine. KVM is tried with the kernel of its disk; with that of o.Disk, or
// the one that was kept, if the disk is or was empty.
func (p parts) config(ctx context.Context, o lab.Options) (c qemu.Config, err error) {
	if p.kept != nil {
		o.Disk = p.disk
	}
	if p.kept != nil && p.kept.Empty {
		c, err = lab.ForEmpty(ctx, o, p.kept.Kernel())
	} else {
		c, _, err = lab.ForPerson(ctx, o)
	}
	c.Disk, c.CDROMs, c.Network, c.MemoryMiB = p.disk, p.cds, p.network, p.memory
	if p.kept != nil {
		c.Dir = p.kept.Dir()
	}
	if len(p.cds) > 0 || p.network.Boot {
		c.Faults = []qemu.Fault{} // a firmware complains about an empty disk
	}
	return c, err
}

// kept opens the kept machine, or makes it from the disk of dir. user will be able to log in
// after an installation.
func (f runFlags) kept(cmd *cobra.Command, dir, user string, boot qemu.Boot) (*machines.Machine, error) {
	disk := filepath.Join(dir, "disk.raw")
	store, err := machineStore()
	if err != nil {
		return nil, err
	}
	if f.anew && dir == "" {
		return nil, commandline.Usagef(cmd, "--anew needs the folder of a build to begin the machine with")
	}
	if f.anew {
		if err := store.Remove(f.keep); err != nil && !errors.Is(err, machines.ErrUnknown) {
			return nil, err
		}
	}
	m, err := store.Open(f.keep)
	if errors.Is(err, machines.ErrUnknown) && dir != "" {
		return f.begin(cmd, store, disk, user, boot)
	}
	if err == nil && f.install && !m.Empty {
		return nil, errors.Join(commandline.Usagef(cmd, "%s began with a disk: leave out --install, or begin it again with --anew", m.Name), m.Close())
	}
	if err == nil && dir != "" && m.Outdated(disk) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s goes on with its own disk, which began as %s of %s, not with %s; --anew begins it again\n", m.Name, m.From, m.Time.Local().Format(time.DateTime), disk)
	}
	return m, err
}

func (f runFlags) begin(cmd *cobra.Command, store machines.Store, disk, user string, boot qemu.Boot) (*machines.Machine, error) {
	talk := cmd.ErrOrStderr()
	now := time.Now() //nolint:forbidigo // shown by `kairos-build machines`
	if !f.install {
		fmt.Fprintf(talk, "%s begins with a copy of %s\n", f.keep, disk)
		return store.Make(cmd.Context(), f.keep, disk, boot, now)
	}
	kernel, err := kernelOf(disk)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(talk, "%s begins with an empty disk, to which it installs itself; afterwards, `kairos-build run --keep %s` starts it from there\n", f.keep, f.keep)
	return store.MakeEmpty(f.keep, disk, kernel, user, boot, now)
}

// kernelOf reads the kernel of the first slot of a disk.
func kernelOf(path string) (_ []byte, err error) {
	disk, err := lab.OpenDisk(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	return disk.BootFile(layout.BootKernel)
}

// machineStore is where the kept machines of this user are.
func machineStore() (machines.Store, error) {
	state, err := engine.StateDir(engine.FromEnv(engine.Options{}, os.Getenv))
	return machines.Store{Dir: filepath.Join(state, "machines")}, err
}

// loginUser is the first user that can log in by the disk's cloud-config, or empty.
func loginUser(path string) (_ string, err error) {
	disk, err := lab.OpenDisk(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	users, err := disk.Users()
	if err != nil || len(users) == 0 {
		return "", err
	}
	return users[0], nil
}
