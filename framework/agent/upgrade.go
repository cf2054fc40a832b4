// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// upgradeMemory, in bytes, is what the collector tries to stay below, so that
// an upgrade fits beside the node's work.
const upgradeMemory = 160 << 20

func newUpgrade(p *program) *cobra.Command {
	u := upgradeFlags{mirrors: map[string][]string{}}
	cmd := &cobra.Command{
		Use:   "upgrade --source SOURCE",
		Short: "Write an image to the other slot and try it at the next boot",
		Long: `Writes an image to the slot that does not run, checks every byte of it, and has
the boot loader try it at the next boot. A slot that does not pass its health
checks is left again by itself. docs/upgrades.md has the whole story.`,
		Example: `  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2
  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2 --ca-file ca.pem --reboot
  sudo kairos-agent upgrade --source ocifile:/usr/local/node-v2.tar
  sudo kairos-agent upgrade --source oci:registry.example.org/node:v2 --recovery`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.source == "" {
				return commandline.Usagef(cmd, "which image? Give --source oci:REF, dir:PATH, ocifile:FILE or file:PATH")
			}
			return p.upgrade(cmd.Context(), u)
		},
	}
	u.declare(cmd.Flags())
	return cmd
}

// upgradeFlags are the flags of upgrade.
type upgradeFlags struct {
	source, caFile, auth          string
	mirrors                       map[string][]string
	recovery, reboot, force, json bool
}

func (u *upgradeFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&u.source, "source", "", "the image: oci:`REF`, dir:PATH, ocifile:FILE or file:PATH")
	f.StringVar(&u.caFile, "ca-file", "", "trust the certificates (PEM) in `FILE` besides the system's")
	f.StringVar(&u.auth, "registry-config", "", "take the registry's credentials from `FILE`, a docker-style config.json (default "+source.DefaultAuth+")")
	f.BoolVar(&u.recovery, "recovery", false, "write the recovery slot, and not the passive one")
	f.BoolVar(&u.reboot, "reboot", false, "reboot after success")
	f.BoolVar(&u.force, "force", false, "also install an older version, or an image for another model")
	f.BoolVar(&u.json, "json", false, "print the result as JSON, as documented at Result in framework/upgrade")
	f.Func("mirror", "ask a mirror first: `HOST=URL`, may be repeated", func(text string) error {
		host, url, ok := strings.Cut(text, "=")
		if !ok || host == "" || url == "" {
			return errors.New("want HOST=URL, such as registry.example.org=https://mirror.example.org")
		}
		u.mirrors[host] = append(u.mirrors[host], url)
		return nil
	})
}

// upgrade writes the image, prints what it did, and reboots if it should.
func (p *program) upgrade(ctx context.Context, u upgradeFlags) (err error) {
	if p.onNode() && os.Geteuid() != 0 {
		return errors.New("it writes to the disk and needs root: run it with sudo")
	}
	node, closeNode, err := p.upgradeNode()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeNode()) }()
	debug.SetMemoryLimit(upgradeMemory)
	result, err := p.runUpgrade(ctx, node, u)
	p.warn("writing the boot history", p.remember([]history.Entry{upgraded(u, result, err)}))
	if err != nil {
		return interrupted(ctx, err)
	}
	if err := printUpgrade(p.stdout, result, u); err != nil || !u.reboot || p.restart == nil {
		return err
	}
	return p.restart(ctx)
}

// runUpgrade has the hooks of the config around the upgrade.
func (p *program) runUpgrade(ctx context.Context, node upgrade.Node, u upgradeFlags) (upgrade.Result, error) {
	merged, _ := p.configNow()
	hooks := p.hooksOf("upgrade", merged)
	if err := hooks.Before(ctx); err != nil {
		return upgrade.Result{}, err
	}
	result, err := p.writeUpgrade(ctx, node, u, merged)
	if err == nil {
		result.Warnings = append(result.Warnings, hooks.After(ctx)...)
	}
	return result, err
}

func (p *program) writeUpgrade(ctx context.Context, node upgrade.Node, u upgradeFlags, merged *config.Config) (upgrade.Result, error) {
	view := newProgressView(p.stderr)
	defer view.end()
	log := slog.New(slog.NewTextHandler(view, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	return upgrade.Run(ctx, node, upgrade.Options{
		Source: u.source, Recovery: u.recovery, Force: u.force, Tries: merged.Upgrade.Boots(), Progress: view.show, Log: log,
		Registry: source.Options{CAFile: u.caFile, Auth: u.auth, Mirrors: u.mirrors, Log: log},
	})
}

// upgraded is the entry of the boot history.
func upgraded(u upgradeFlags, r upgrade.Result, err error) history.Entry {
	e := history.Entry{Kind: history.Upgrade, Slot: r.Slot, Version: r.Version, Outcome: history.OK, Message: u.source}
	if err == nil {
		return e
	}
	if incomplete, ok := errors.AsType[*upgrade.IncompleteError](err); ok {
		e.Slot = incomplete.Slot
	}
	e.Outcome, e.Message = history.Failed, fmt.Sprintf("%s: %v", u.source, err)
	return e
}

// upgradeNode is this node as upgrade sees it.
func (p *program) upgradeNode() (upgrade.Node, func() error, error) {
	boot, err := p.installed()
	if err != nil {
		return upgrade.Node{}, nil, err
	}
	if p.openStore == nil {
		return upgrade.Node{}, nil, errors.New("the boot environment is written on a running node only")
	}
	store, err := p.openStore(boot)
	if err != nil {
		return upgrade.Node{}, nil, err
	}
	lock, err := p.root.Fixed(upgrade.LockFile)
	if err != nil {
		return upgrade.Node{}, nil, errors.Join(err, store.Close())
	}
	return upgrade.Node{
		Booted: boot.Slot, Release: status.Release(p.root), Store: store, Lock: lock,
		Open:       func(name string) (upgrade.Device, error) { return openPartition(boot, name) },
		BootLoader: bootLoader{booted: boot},
	}, store.Close, nil
}

// installed is what the initramfs found. An upgrade needs a disk of ours.
func (p *program) installed() (*thisboot.State, error) {
	boot, err := status.BootState(p.root)
	if err == nil && boot.Mode == layout.ModeLive {
		err = errors.New("this system runs from an installer medium: install it first")
	}
	return boot, err
}

func openPartition(boot *thisboot.State, name string) (upgrade.Device, error) {
	path, err := boot.Device(name)
	if err != nil {
		return nil, err
	}
	return upgrade.OpenPartition(path)
}

// interrupted puts an end by Ctrl-C into plain words.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if e, ok := errors.AsType[*upgrade.IncompleteError](err); ok {
		return fmt.Errorf("interrupted: slot %s is not complete; slot %s stays good; run the upgrade again", e.Slot, e.Good)
	}
	return errors.New("interrupted; nothing was written")
}

func printUpgrade(w io.Writer, r upgrade.Result, u upgradeFlags) error {
	if u.json {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	version := fmt.Sprintf("%s, was %s", r.Version, r.From)
	if r.SameVersion {
		version = r.Version + ", the same version as before"
	}
	fmt.Fprintf(w, "slot     %s\nversion  %s\nimage    %s\nroot     %s\n", r.Slot, version, r.Digest, r.RootHash)
	fmt.Fprintf(w, "%d MiB written and read back in %.1f s\n", r.Bytes>>20, r.Seconds)
	if r.Tries > 0 && !u.reboot {
		fmt.Fprintf(w, "slot %s is tried at the next boot: reboot when it suits\n", r.Slot)
	}
	return nil
}
