// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newRun() *cobra.Command {
	var boot, program string
	var memory int
	var noKVM bool
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Boot what is in DIR, with its console on this terminal",
		Long: `Boots DIR/disk.raw in QEMU. The machine's console is this terminal; its SSH
port is forwarded to a free port of this host. What the machine writes goes to
an overlay that is thrown away at the end: the disk stays as it is.`,
		Example: `  kairos-build run out/debian-13
  kairos-build flavor debian-13 --cloud-config me.yaml && kairos-build run out/debian-13
  kairos-build run out/debian-13 --boot secureboot --memory 4096`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			chosen, err := chooseBoots([]string{boot})
			if err != nil {
				return err
			}
			disk := filepath.Join(args[0], "disk.raw")
			if _, err := os.Stat(disk); err != nil {
				return fmt.Errorf("nothing to run: %w; build it first with `kairos-build flavor`", err)
			}
			user, err := loginUser(disk)
			if err != nil {
				return err
			}
			config, _, err := lab.ForPerson(cmd.Context(), lab.Options{Disk: disk, Boots: chosen, QEMU: program, NoKVM: noKVM})
			if err != nil {
				return err
			}
			config.MemoryMiB = memory
			vm, err := qemu.Start(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, vm.Close()) }()
			return vm.Attach(cmd.Context(), qemu.Terminal{In: os.Stdin, Out: cmd.OutOrStdout(), Talk: cmd.ErrOrStderr()}, user)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&boot, "boot", string(qemu.UEFI), "firmware: bios, uefi or secureboot")
	flags.IntVar(&memory, "memory", 0, "`MiB` of memory (default 1536)")
	flags.StringVar(&program, "qemu", "", "`program` to use (default qemu-system-x86_64)")
	flags.BoolVar(&noKVM, "no-kvm", false, "use emulation without trying KVM")
	commandline.Complete(cmd, "boot", bootNames())
	return cmd
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
