// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/install"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// installMemory, in bytes, is the memory limit of the garbage collector.
const installMemory = 256 << 20

func newInstall(p *program) *cobra.Command {
	i := installFlags{registryFlags: newRegistryFlags()}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install to a disk of this machine",
		Long: `Installs the image that runs, or another one, to a disk of this machine. It
checks everything before it writes, and can be run again after any interruption.
docs/install.md has the whole story.`,
		Example: `  sudo kairos-agent install --dry-run            # what it would do
  sudo kairos-agent install --reboot
  sudo kairos-agent install --device /dev/sda --force
  sudo kairos-agent install --source oci:registry.example.org/node:v2`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.install(cmd.Context(), i) },
	}
	i.declare(cmd.Flags())
	cmd.Flags().BoolVar(&i.auto, "auto", false, "as kairos-install.service: do it only if the config says install: {auto: true}, and tell every console")
	return cmd
}

func newManualInstall(p *program) *cobra.Command {
	i := installFlags{registryFlags: newRegistryFlags()}
	cmd := &cobra.Command{
		Use:     "manual-install CONFIG",
		Short:   "Install with a config from a file",
		Long:    "Installs as `kairos-agent install` does, with the cloud-config of a file in place of that of the running system.",
		Example: "  sudo kairos-agent manual-install site.yaml --device auto --reboot",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return commandline.Usagef(cmd, "which config? Give a file, such as site.yaml")
			}
			return commandline.Args(cobra.ExactArgs(1))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			i.config = args[0]
			return p.install(cmd.Context(), i)
		},
	}
	i.declare(cmd.Flags())
	return cmd
}

// installFlags are the flags of install and its siblings.
type installFlags struct {
	registryFlags
	device, source, config                                   string
	reboot, poweroff, force, dry, json, skip, auto, noFormat bool

	text []byte // of config, if it is no file
}

func (i *installFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&i.device, "device", "", "the `DISK`: auto, or a path such as /dev/sda; default is that of the config, else auto")
	f.StringVar(&i.source, "source", "", "the image: oci:`REF`, dir:PATH, ocifile:FILE or file:PATH; default is the one that runs")
	i.registryFlags.declare(f)
	f.BoolVar(&i.reboot, "reboot", false, "reboot afterwards")
	f.BoolVar(&i.poweroff, "poweroff", false, "switch the machine off afterwards")
	f.BoolVar(&i.force, "force", false, "erase whatever is on the disk")
	f.BoolVar(&i.noFormat, "no-format", false, "write the system alone: partitions, data and configuration of the installed node stay")
	f.BoolVar(&i.dry, "dry-run", false, "check everything, say what would be done, and write nothing")
	f.BoolVar(&i.skip, "insecure-skip-verify", false, "DANGEROUS: with --source, install an image that nobody vouches for")
	f.BoolVar(&i.json, "json", false, "print the result as JSON")
}

// installResult is what `install --json` prints: one JSON object.
type installResult struct {
	Device   string   `json:"device"` // such as /dev/sda
	ByID     string   `json:"byID,omitempty"`
	Model    string   `json:"model,omitempty"`
	Why      string   `json:"why"` // the disk was chosen
	Version  string   `json:"version"`
	RootHash string   `json:"rootHash"`
	Files    []string `json:"files"` // in /oem
	Seconds  float64  `json:"seconds"`
	Warnings []string `json:"warnings"`
}

// install installs, prints the result, and reboots or powers off if asked to.
func (p *program) install(ctx context.Context, i installFlags) error {
	if err := p.mayInstall(i); err != nil {
		return err
	}
	if i.auto {
		return p.autoInstall(ctx, i)
	}
	debug.SetMemoryLimit(installMemory)
	result, prepared, err := p.watchInstall(ctx, i, nil)
	if err != nil || i.dry {
		return err
	}
	if err := p.printInstall(result, i.json); err != nil {
		return err
	}
	return p.afterInstall(ctx, i, prepared)
}

func (p *program) mayInstall(i installFlags) error {
	switch {
	case p.node.Running() && os.Geteuid() != 0:
		return errors.New("it writes to a disk and needs root: run it with sudo")
	case i.noFormat && i.force:
		return errors.New("--no-format keeps what is on the disk, and --force erases it: which of them?")
	case i.reboot && i.poweroff:
		return errors.New("--reboot and --poweroff: which of them?")
	}
	return nil
}

// watchInstall prepares and installs, and shows the progress. agree is asked before
// anything is written, and shows what is to be done; nil agrees.
func (p *program) watchInstall(ctx context.Context, i installFlags, agree func(lines []string) error) (r installResult, prepared *node.Installation, err error) {
	view := newProgressView(p.stderr)
	defer view.end()
	log := newLog(view)
	p.node.Stderr, p.node.Log = view, log
	start := time.Now()
	ready, err := p.node.PrepareInstall(ctx, node.InstallOptions{
		Device: i.device, Source: i.source, Force: i.force, NoFormat: i.noFormat, Config: i.config, Text: i.text, Once: i.auto,
		Upgrade:  upgrade.Options{Force: i.force, SkipVerify: i.skip, Progress: view.show, Log: log, Registry: i.options(log)},
		Progress: func(d disk.Progress) { view.show(upgrade.Progress(d)) },
	})
	if err != nil {
		return r, nil, err
	}
	defer func() { err = errors.Join(err, ready.Close()) }()
	if i.dry || agree == nil {
		fmt.Fprintln(view, strings.Join(ready.Lines(), "\n"))
	}
	if i.dry {
		fmt.Fprintln(view, "nothing was written: --dry-run")
		return r, ready, nil
	}
	if agree != nil {
		view.end()
		if err := agree(ready.Lines()); err != nil {
			return r, nil, err
		}
	}
	warnings, err := ready.Install(ctx)
	if err != nil {
		return r, nil, err
	}
	return resultOf(ready, warnings, time.Since(start)), ready, nil
}

func resultOf(i *node.Installation, warnings []string, took time.Duration) installResult {
	d, image := i.Choice.Disk, i.Request.Image
	r := installResult{
		Device: d.Path, ByID: d.ByID, Model: d.Model, Why: i.Choice.Why, Version: image.Slot.Release["KAIROS_VERSION"],
		RootHash: image.RootHash(), Files: []string{}, Seconds: took.Seconds(), Warnings: append([]string{}, warnings...),
	}
	for _, f := range i.Request.Files {
		r.Files = append(r.Files, f.Name)
	}
	return r
}

func (p *program) printInstall(r installResult, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(p.stdout, r)
	}
	_, err := fmt.Fprintf(p.stdout, "installed  %s %s\non         %s\nroot       %s\nwritten and read back in %.1f s\n", r.Version, cmp.Or(r.ByID, r.Model), r.Device, r.RootHash, r.Seconds)
	return err
}

// afterInstall does what the flags say, else what the config says.
func (p *program) afterInstall(ctx context.Context, i installFlags, done *node.Installation) error {
	asked := func(b *bool) bool { return b != nil && *b && !i.reboot && !i.poweroff }
	switch {
	case i.poweroff || asked(done.Config.PowerOff):
		return p.node.PowerOff(ctx)
	case i.reboot || asked(done.Config.Reboot):
		return p.reboot(ctx)
	}
	return nil
}

// autoInstall is the installation without a person. What goes wrong stays on the consoles.
func (p *program) autoInstall(ctx context.Context, i installFlags) error {
	p.node.AwaitDatasource(ctx)
	if !p.node.AsksInstall() {
		p.node.Say(ctx, "this is a live system: nothing is installed. To install it, type `sudo kairos-agent interactive-install`")
		return nil
	}
	debug.SetMemoryLimit(installMemory)
	p.node.Say(ctx, "installing, as the config says")
	told := p.node
	result, prepared, err := p.watchInstall(ctx, i, nil) // stderr is a console
	if errors.Is(err, install.ErrInstalled) {
		told.Say(ctx, err.Error())
		return nil
	}
	if err != nil {
		told.Say(ctx, "NOT INSTALLED: "+err.Error(), "the machine stays as it is, and can be reached; correct the config, or type `sudo kairos-agent install`")
		return commandline.ErrQuiet
	}
	told.Say(ctx, fmt.Sprintf("installed %s on %s in %.0f s", result.Version, result.Device, result.Seconds))
	return p.afterInstall(ctx, i, prepared)
}
