// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/testrun"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// errNotPassed means that the test ran and the disk did not pass.
var errNotPassed = errors.New("the disk did not pass")

func newTest() *cobra.Command {
	var o acceptance.Options
	var boots []string
	var asJSON bool
	var record, mode string
	var attest attestFlags
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "Boot what is in DIR in QEMU and check it",
		Long: `Boots DIR/disk.raw in QEMU under BIOS, UEFI and UEFI with Secure Boot and checks
inside the machine that it is what it claims to be. Then one machine is upgraded
to a later version of DIR/image over a registry, with everything that goes wrong
in the field, and others are broken in each way that a new slot can be broken
and must come back by themselves. The disk is never written
to. A table goes to stdout; test.json, test.xml (JUnit) and the console logs go
to DIR. A terminal shows one line for each machine, and the time that is left by
what the machines took on this computer before.

DIR may also be a flavor: the folder that it was built in is tested.

With --attest the result is also written to DIR/test-result.json, as a statement about
the image in DIR that can be signed and published (see docs/evidence.md).`,
		Example: `  kairos-build test out/debian-13
  kairos-build test out/debian-13 --short
  kairos-build test out/debian-13 --boot uefi,secureboot --json
  kairos-build test out/debian-13 --machine upgrade,fault-panic
  kairos-build test out/debian-13 --attest
  kairos-build test ./mysite
  kairos-build test out/debian-12 --to out/debian-13 --machine release --boot secureboot`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := builtBy(args[0])
			if err != nil {
				return err
			}
			o.Dir = dir
			chosen, err := chooseBoots(boots)
			if err != nil {
				return err
			}
			o.Boots = chosen
			if err := attest.read(dir); err != nil {
				return commandline.UsageError{Err: err}
			}
			made, err := watchTest(cmd.Context(), o, mode, cmd.ErrOrStderr())
			if made == nil {
				return err
			}
			return errors.Join(err, printReport(cmd.OutOrStdout(), made, asJSON), attest.write(dir, made), attest.record(record, made), verdict(made))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&boots, "boot", nil, "firmware to boot with: bios, uefi, secureboot (default all)")
	flags.StringVar(&o.QEMU, "qemu", "", "`program` to use (default qemu-system-x86_64)")
	flags.BoolVar(&o.NoKVM, "no-kvm", false, "use emulation without trying KVM")
	flags.IntVar(&o.Jobs, "jobs", 0, "machines at the same time (default by the number of CPUs)")
	flags.StringSliceVar(&o.Machines, "machine", nil, "only these `machines`, by their names in test.json: bios, upgrade, fault-panic, …")
	flags.StringVar(&o.To, "to", "", "also upgrade a machine to the image of this `DIR`, another release")
	flags.BoolVar(&o.Short, "short", false, "a part of everything: one life with upgrades, one fault of each way back, BIOS and Secure Boot")
	flags.BoolVar(&o.Every, "every-firmware", false, "tell each story and each fault under every firmware of --boot, not under the first alone")
	flags.BoolVar(&o.Resume, "resume", false, "go on where an interrupted test with --resume of the same disk was")
	flags.BoolVar(&o.NoScenarios, "no-scenarios", false, "leave out the upgrade and the faults, which need DIR/image, and the long life")
	flags.DurationVar(&o.BootTimeout, "timeout", 0, "limit of one boot (default 10m under emulation, 2m with KVM); a busy host has longer")
	flags.StringVar(&mode, "progress", progress.Auto, "how to show progress: "+strings.Join(progress.Modes(), ", "))
	flags.StringVar(&record, "record", "", "write what was proven to this `file`, for `kairos-build list`")
	flags.BoolVar(&asJSON, "json", false, "print test.json on stdout")
	attest.add(flags)
	commandline.Complete(cmd, "boot", bootNames())
	commandline.Complete(cmd, "progress", progress.Modes())
	return cmd
}

// watchTest runs the test and shows its progress. It keeps the durations of the machines
// for the next test.
func watchTest(ctx context.Context, o acceptance.Options, mode string, stderr io.Writer) (*report.Report, error) {
	file, isFile := stderr.(*os.File)
	kept := durationsFile()
	view, err := testrun.New(mode, "test "+o.Dir, stderr, isFile && term.IsTerminal(int(file.Fd())), testrun.Load(kept))
	if err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	o.Observer = view
	made, err := acceptance.Run(ctx, o)
	err = errors.Join(err, view.Close())
	if made != nil && kept != "" {
		err = errors.Join(err, view.Durations().Save(kept))
	}
	return made, err
}

// durationsFile is the file with the durations of tests; empty if this user has no cache
// folder.
func durationsFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "kairos-build", "test-durations.json")
}

func bootNames() []string {
	var names []string
	for _, boot := range qemu.Boots() {
		names = append(names, string(boot))
	}
	return names
}

func chooseBoots(names []string) ([]qemu.Boot, error) {
	var chosen []qemu.Boot
	for _, name := range names {
		boot := qemu.Boot(name)
		if !slices.Contains(bootNames(), name) {
			return nil, commandline.UsageError{Err: fmt.Errorf("unknown firmware %q: there are %v", name, bootNames())}
		}
		chosen = append(chosen, boot)
	}
	return chosen, nil
}

func printReport(w io.Writer, made *report.Report, asJSON bool) error {
	if !asJSON {
		return made.Table(w, acceptance.Title)
	}
	data, err := made.JSON()
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func verdict(made *report.Report) error {
	if made.Passed {
		return nil
	}
	return errNotPassed
}
