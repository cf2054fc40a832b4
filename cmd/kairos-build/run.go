// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/machines"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// runFlags are the flags of run.
type runFlags struct {
	boot, program, keep string
	memory              int
	noKVM, anew         bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Boot what is in DIR, with its console on this terminal",
		Long: `Boots DIR/disk.raw in QEMU. The machine's console is this terminal; its SSH
port is forwarded to a free port of this host. The disk stays as it is: what the
machine writes goes to an overlay that is thrown away at the end.

With --keep the machine gets a copy of the disk under a name, and goes on with it in
the next run: so an upgrade can be played with. ` + "`kairos-build machines`" + ` lists the kept
machines and removes them.`,
		Example: `  kairos-build run out/debian-13
  kairos-build flavor debian-13 --cloud-config me.yaml && kairos-build run out/debian-13
  kairos-build run out/debian-13 --boot secureboot --memory 4096
  kairos-build run out/debian-13 --keep edge   # begins a machine
  kairos-build run --keep edge                 # goes on with it
  kairos-build run out/debian-13 --keep edge --anew`,
		Args: commandline.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f.keep == "" {
				return commandline.Usagef(cmd, "name the folder of a build, such as out/debian-13, or a kept machine with --keep")
			}
			dir := ""
			if len(args) == 1 {
				dir = args[0]
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
	commandline.Complete(cmd, "boot", bootNames())
	return cmd
}

// run boots the disk of dir, or a kept machine.
func (f runFlags) run(cmd *cobra.Command, dir string) (err error) {
	chosen, err := chooseBoots([]string{f.boot})
	if err != nil {
		return err
	}
	o := lab.Options{Disk: filepath.Join(dir, "disk.raw"), Boots: chosen, QEMU: f.program, NoKVM: f.noKVM}
	if _, err := os.Stat(o.Disk); dir != "" && err != nil {
		return fmt.Errorf("nothing to run: %w; build it first with `kairos-build flavor`", err)
	}
	var folder string
	if f.keep != "" {
		kept, err := f.kept(cmd, dir, o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, kept.Close()) }()
		o.Disk, folder = kept.Disk(), kept.Dir()
		if !cmd.Flags().Changed("boot") {
			o.Boots = []qemu.Boot{kept.Boot}
		}
	}
	return f.attach(cmd, o, folder)
}

// attach boots a machine, and connects its console with the terminal. A machine with a
// folder keeps its state there.
func (f runFlags) attach(cmd *cobra.Command, o lab.Options, folder string) (err error) {
	user, err := loginUser(o.Disk)
	if err != nil {
		return err
	}
	config, _, err := lab.ForPerson(cmd.Context(), o)
	if err != nil {
		return err
	}
	config.MemoryMiB, config.Dir = f.memory, folder
	vm, err := qemu.Start(cmd.Context(), config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	return vm.Attach(cmd.Context(), qemu.Terminal{In: os.Stdin, Out: cmd.OutOrStdout(), Talk: cmd.ErrOrStderr()}, user)
}

// kept opens the kept machine, or makes it from the disk of dir.
func (f runFlags) kept(cmd *cobra.Command, dir string, o lab.Options) (*machines.Machine, error) {
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
		return f.begin(cmd.Context(), cmd.ErrOrStderr(), store, o)
	}
	if err == nil && dir != "" && m.Outdated(o.Disk) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s goes on with its own disk, which began as %s of %s, not with %s; --anew begins it again\n", m.Name, m.From, m.Time.Local().Format(time.DateTime), o.Disk)
	}
	return m, err
}

func (f runFlags) begin(ctx context.Context, talk io.Writer, store machines.Store, o lab.Options) (*machines.Machine, error) {
	fmt.Fprintf(talk, "%s begins with a copy of %s\n", f.keep, o.Disk)
	return store.Make(ctx, f.keep, o.Disk, o.Boots[0], time.Now()) //nolint:forbidigo // shown by `kairos-build machines`
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
