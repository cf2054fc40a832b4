// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// upgradeMemory, in bytes, is the memory limit of the garbage collector, so that an
// upgrade fits beside the node's work.
const upgradeMemory = 160 << 20

func newUpgrade(p *program) *cobra.Command {
	u := upgradeFlags{registryFlags: newRegistryFlags()}
	cmd := &cobra.Command{
		Use:   "upgrade --source SOURCE|--channel CHANNEL",
		Short: "Write an image to the other slot and try it at the next boot",
		Long: `Writes an image to the slot that does not run, checks who signed it and every byte of it, and has
the boot loader try it at the next boot. A slot that does not pass its health
checks is left again by itself. docs/upgrades.md has the whole story.

A channel, such as stable, names the image that nodes of this kind shall have now, with a
signed statement that cannot be replaced by an older one (docs/release-flow.md). With
--channel, --source oci:REGISTRY/NAME says where it is, if it is not where the image of the
running slot came from. If that image runs already, nothing is done.`,
		Example: `  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2
  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2 --ca-file ca.pem --reboot
  sudo kairos-agent upgrade --source ocifile:/usr/local/node-v2.tar
  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2 --recovery
  sudo kairos-agent upgrade --channel stable --reboot
  sudo kairos-agent upgrade --channel edge --source oci:registry.example.org/edge/debian-13
  sudo kairos-agent upgrade list`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.scheduled {
				return p.upgradeItself(cmd.Context(), u, time.Now)
			}
			if u.channel != "" {
				return p.upgradeToChannel(cmd.Context(), u)
			}
			if u.source == "" {
				return commandline.Usagef(cmd, "which image? Give --source oci:REF, dir:PATH, ocifile:FILE or file:PATH")
			}
			return p.upgrade(cmd.Context(), u)
		},
	}
	u.declare(cmd.Flags())
	cmd.AddCommand(newUpgradeList(p))
	return cmd
}

// upgradeFlags are the flags of upgrade.
type upgradeFlags struct {
	registryFlags
	source                              string
	channel                             string
	recovery, reboot, force, json, skip bool
	scheduled                           bool
}

func (u *upgradeFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&u.source, "source", "", "the image: oci:`REF`, dir:PATH, ocifile:FILE or file:PATH")
	f.StringVar(&u.channel, "channel", "", "the image that a `channel` names, such as edge or stable")
	f.BoolVar(&u.scheduled, "scheduled", false, "for kairos-upgrade.service: what the key upgrade of the config says, if it is time for it")
	u.registryFlags.declare(f)
	f.BoolVar(&u.recovery, "recovery", false, "write the recovery slot, and not the passive one")
	f.BoolVar(&u.reboot, "reboot", false, "reboot after success")
	f.BoolVar(&u.force, "force", false, "also install an older version, an image for another model, or one whose Kubernetes does not fit this node")
	f.BoolVar(&u.skip, "insecure-skip-verify", false, "DANGEROUS: install an image that nobody vouches for; status shows it until the next verified upgrade")
	f.BoolVar(&u.json, "json", false, "print the result as JSON, as documented at Result in framework/upgrade")
}

// upgrade writes the image, prints the result, and reboots if asked to.
func (p *program) upgrade(ctx context.Context, u upgradeFlags) error {
	if err := p.needsRoot(); err != nil {
		return err
	}
	debug.SetMemoryLimit(upgradeMemory)
	if u.skip {
		fmt.Fprintln(p.stderr, "WARNING: --insecure-skip-verify: this image is not verified. Whoever controls the registry, or the way to it, controls this node.")
	}
	result, err := p.watchUpgrade(ctx, u)
	if err != nil {
		return err
	}
	if err := printUpgrade(p.stdout, result, u); err != nil || !u.reboot {
		return err
	}
	return p.reboot(ctx)
}

// needsRoot refuses an ordinary user of a running node.
func (p *program) needsRoot() error {
	if p.node.Running() && os.Geteuid() != 0 {
		return errors.New("it writes to the disk and needs root: run it with sudo")
	}
	return nil
}

// watchUpgrade runs an upgrade and shows its progress and messages.
func (p *program) watchUpgrade(ctx context.Context, u upgradeFlags) (upgrade.Result, error) {
	view := newProgressView(p.stderr)
	defer view.end()
	log := newLog(view)
	p.node.Stderr, p.node.Log = view, log
	return p.node.Upgrade(ctx, upgrade.Options{
		Source: u.source, Recovery: u.recovery, Force: u.force, SkipVerify: u.skip, Progress: view.show, Log: log,
		Registry: u.options(log),
	})
}

func printUpgrade(w io.Writer, r upgrade.Result, u upgradeFlags) error {
	if u.json {
		return commandline.WriteJSON(w, r)
	}
	version := fmt.Sprintf("%s, was %s", r.Version, r.From)
	if r.SameVersion {
		version = r.Version + ", the same version as before"
	}
	fmt.Fprintf(w, "slot     %s\nversion  %s\nimage    %s\nroot     %s\n", r.Slot, version, r.Digest, r.RootHash)
	for _, reason := range r.Trust {
		fmt.Fprintf(w, "trust    %s\n", reason)
	}
	if !r.Verified {
		fmt.Fprintf(w, "trust    NOT VERIFIED: nobody vouches for this image\n")
	}
	fmt.Fprintf(w, "%d MiB written and read back in %.1f s\n", r.Bytes>>20, r.Seconds)
	if r.Tries > 0 && !u.reboot {
		fmt.Fprintf(w, "slot %s is tried at the next boot: reboot when it suits\n", r.Slot)
	}
	return nil
}
