// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/ci/acceptance/firstboot"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/simulate"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/commandline/validation"
	"github.com/kairos-build/kairos-build/framework/config"
)

// errWouldFail means a config with a failure in the simulation; the exit status is 1.
var errWouldFail = errors.New("the node would report a failure")

// errDidFail means a config with a failure on a booted node; the exit status is 1.
var errDidFail = errors.New("the node reported a failure")

// simulateFlags are the flags of `kairos-build simulate`.
type simulateFlags struct {
	factory.SimulateOptions
	configs      []string
	how          config.Options // how configs are checked
	diff, asJSON bool
	colour       string
	boot         bool
	vm           lab.Options
	firmware     string
	talk         talkFlags
}

func newSimulate() *cobra.Command {
	var o simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate IMAGE",
		Short: "Say what a cloud-config would change on an image, without booting it",
		Long: `Runs the code that applies a cloud-config on a node in a dry run over the files
of an image, in the order of a first boot, and prints what would change: files,
users, units, kernel parameters, and the commands that would run. IMAGE is a
folder that kairos-build flavor made, a folder with an OCI layout, a tar of one,
a registry reference, or a flavor that was built here: the cloud-configs of a flavor of
your own are before those of --cloud-config. No root, no boot and no mount are needed.

With --boot, a disk with the cloud-config is made and booted in QEMU, and the
node's own report is printed.

Exit status: 0, 1 when the node would report (with --boot: reported) a failure,
2 for bad input. docs/simulate.md describes the output.`,
		Example: `  kairos-build simulate out/debian-13 --cloud-config site.yaml
  kairos-build simulate out/debian-13 --cloud-config site.yaml --diff
  kairos-build simulate registry.example.org/edge/debian-13:v1.4.0 --cloud-config site.yaml --json
  kairos-build simulate out/debian-13 --cloud-config site.yaml --boot`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.takeFlavor(args[0]); err != nil {
				return err
			}
			return o.run(cmd)
		},
	}
	o.add(cmd)
	return cmd
}

func (o *simulateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.configs, "cloud-config", nil, "cloud-config `file` for the node's /oem; may be repeated")
	compatFlag(flags, &o.how)
	flags.BoolVar(&o.diff, "diff", false, "print the differences of the files")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON on stdout")
	flags.StringVar(&o.colour, "color", "auto", "colours: "+strings.Join(colourModes(), ", ")+" (auto: on a terminal, unless $NO_COLOR is set)")
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringVar(&o.MachineID, "machine-id", simulate.DefaultMachineID, "machine `id` for templates and the default host name")
	flags.BoolVar(&o.boot, "boot", false, "boot a disk with the cloud-config in QEMU and print the node's report")
	flags.StringVar(&o.firmware, "firmware", string(qemu.UEFI), "with --boot: bios, uefi or secureboot")
	flags.StringVar(&o.vm.QEMU, "qemu", "", "with --boot: `program` to use (default qemu-system-x86_64)")
	flags.BoolVar(&o.vm.NoKVM, "no-kvm", false, "with --boot: use emulation without trying KVM")
	flags.DurationVar(&o.vm.BootTimeout, "timeout", 0, "with --boot: limit of the boot (default 10m under emulation, 2m with KVM)")
	o.talk.add(flags)
	commandline.Complete(cmd, "color", colourModes())
	commandline.Complete(cmd, "firmware", bootNames())
}

// takeFlavor sets the image. If ref is a flavor, it adds the flavor's cloud-configs.
func (o *simulateFlags) takeFlavor(ref string) (err error) {
	if o.Image, err = builtBy(ref); err != nil || !flavors.IsFlavor(ref) {
		return err
	}
	f, err := flavors.Open(asArgument(ref))
	if err != nil {
		return commandline.UsageError{Err: err}
	}
	o.configs = slices.Concat(f.Default.CloudConfigs, o.configs)
	return nil
}

func (o *simulateFlags) run(cmd *cobra.Command) error {
	colour, err := wantsColour(o.colour, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if _, o.State, err = new(engineFlags).options(); err != nil {
		return err
	}
	if o.Configs, err = factory.ReadSources(o.configs, o.how); err != nil {
		return err
	}
	if err := sayProblems(cmd.ErrOrStderr(), o.Configs); err != nil {
		return err
	}
	if o.boot {
		return o.bootNode(cmd)
	}
	t, err := o.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.Progress = t
	result, err := factory.Simulate(cmd.Context(), o.SimulateOptions)
	if err := t.close(err); err != nil {
		return err
	}
	if err := o.print(cmd.OutOrStdout(), result, colour); err != nil {
		return err
	}
	if !result.OK {
		return errWouldFail
	}
	return nil
}

// check checks the firmware and the machine id, and normalizes the id.
func (o *simulateFlags) check() error {
	boots, err := chooseBoots([]string{o.firmware})
	if err != nil {
		return err
	}
	o.vm.Boots = boots
	id := strings.ToLower(o.MachineID)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return commandline.UsageError{Err: fmt.Errorf("machine id %q: want 32 hexadecimal digits, as machine-id(5) has them", o.MachineID)}
	}
	o.MachineID = id
	return nil
}

// sayProblems prints the problems of the files as validate does. It returns an error if
// a node would not use the whole of a file: such a file is not simulated.
func sayProblems(w io.Writer, sources []simulate.Source) error {
	var bad []string
	var files []config.File
	for _, s := range sources {
		files = append(files, s.File)
		if !s.File.Whole() {
			bad = append(bad, s.File.Name)
		}
	}
	validation.Checker{Out: io.Discard, Err: w, Colour: validation.Coloured(w)}.Print(files)
	if len(bad) > 0 {
		return commandline.UsageError{Err: fmt.Errorf("not valid: %s: a node would not use all of it; mend what is named above", strings.Join(bad, ", "))}
	}
	return nil
}

func (o *simulateFlags) print(w io.Writer, result *simulate.Result, colour bool) error {
	if o.asJSON {
		return commandline.WriteJSON(w, result)
	}
	return result.Write(w, simulate.Style{Colour: colour, Diff: o.diff})
}

func colourModes() []string { return []string{"auto", "always", "never"} }

// wantsColour follows the flag, https://no-color.org, and whether w is a terminal.
func wantsColour(mode string, w io.Writer) (bool, error) {
	switch mode {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		file, ok := w.(*os.File)
		return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd())), nil
	}
	return false, commandline.UsageError{Err: fmt.Errorf("unknown value %q of --color: there are %s", mode, strings.Join(colourModes(), ", "))}
}

// bootNode makes a disk, boots it, and prints the node's report. It leaves nothing
// behind.
func (o *simulateFlags) bootNode(cmd *cobra.Command) (err error) {
	if err := o.canBoot(cmd); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kairos-build-simulate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := o.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.vm.Disk, o.vm.Log = filepath.Join(dir, "disk.raw"), t.log
	_, err = factory.MakeDisks(cmd.Context(), factory.DiskOptions{
		Image: o.Image, Arch: o.Arch, Path: o.vm.Disk, CloudConfigs: o.configs, Configs: o.how, State: o.State, Progress: t, Log: t.log,
	})
	if err := t.close(err); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "booting under %s; Control-C ends it\n", o.firmware)
	node, err := firstboot.Boot(cmd.Context(), o.vm)
	if err != nil {
		return err
	}
	if err := o.printNode(cmd.OutOrStdout(), node); err != nil {
		return err
	}
	if !node.OK {
		return errDidFail
	}
	return nil
}

// canBoot checks for QEMU and the firmware before a disk is made.
func (o *simulateFlags) canBoot(cmd *cobra.Command) error {
	host, err := qemu.Find(cmd.Context(), o.Arch, o.vm.QEMU)
	if err != nil {
		return err
	}
	_, err = host.Firmware(o.vm.Boots[0])
	return err
}

func (o *simulateFlags) printNode(w io.Writer, node *firstboot.Report) error {
	if o.asJSON {
		return commandline.WriteJSON(w, node)
	}
	return node.Write(w)
}
