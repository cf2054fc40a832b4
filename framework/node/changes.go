// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/install/reset"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// hookTime is the time limit of all steps of one hook together.
const hookTime = 30 * time.Minute

// hooks are the stages around a change of the node's slots. They are read before
// the change, which may remove the config. The chroot stages never run: the blocks
// of a slot's image are verified, so nothing in it can be changed.
type hooks struct {
	node                  *Node
	before, after, chroot []stages.Plan
}

// installHooks are the hooks of an installation, which Kairos names in two ways.
func (n *Node) installHooks(c *config.Config) hooks {
	return hooks{node: n, before: stages.Plans(c, "kairos-install.pre", "before-install"), after: stages.Plans(c, "after-install", "kairos-install.after"), chroot: stages.Plans(c, "after-install-chroot")}
}

func (n *Node) hooksOf(change string, c *config.Config) hooks {
	return hooks{node: n, before: stages.Plans(c, "before-"+change), after: stages.Plans(c, "after-"+change), chroot: stages.Plans(c, "after-"+change+"-chroot")}
}

// Before runs the steps before the change. If one fails, the change does not begin.
func (h hooks) Before(ctx context.Context) error {
	for _, r := range h.run(ctx, h.before) {
		if !r.OK() {
			return fmt.Errorf("stage %s: a step failed, see `kairos-agent report`; nothing was written", r.Stage)
		}
	}
	return nil
}

// After runs the steps after the change. It returns a sentence for each failure; the
// change is done and stays.
func (h hooks) After(ctx context.Context) []string {
	var out []string
	for _, plan := range h.chroot {
		out = append(out, fmt.Sprintf("stage %s: its %d steps did not run: nothing can be changed in a verified image; what the image is to have belongs into its flavor", plan.Stage, len(plan.Steps)))
	}
	for _, line := range out {
		fmt.Fprintln(h.node.Stderr, "kairos: "+line)
	}
	for _, r := range h.run(ctx, h.after) {
		out = append(out, r.Lines()...)
	}
	return out
}

// run carries out plans. A report that cannot be kept stops nothing.
func (h hooks) run(ctx context.Context, all []stages.Plan) []stages.StageReport {
	ctx, cancel := context.WithTimeoutCause(ctx, hookTime, fmt.Errorf("a hook has %v", hookTime))
	defer cancel()
	reports, err := h.node.runPlans(ctx, h.node.engine(false), all)
	h.node.warn("keeping the report of the hooks", err)
	return reports
}

// Upgrade writes an image to the slot that does not run, with the hooks of the config
// around it, and notes it in the boot history. The config sets o.Tries.
func (n *Node) Upgrade(ctx context.Context, o upgrade.Options) (result upgrade.Result, err error) {
	node, closeNode, err := n.upgradeNode()
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, closeNode()) }()
	result, err = n.runUpgrade(ctx, node, o)
	n.warn("remembering whether the image was verified", n.rememberTrust(o, result, err))
	n.warn("writing the boot history", n.remember([]history.Entry{upgraded(o.Source, result, err)}))
	return result, interrupted(ctx, err)
}

func (n *Node) runUpgrade(ctx context.Context, node upgrade.Installation, o upgrade.Options) (upgrade.Result, error) {
	merged, _ := n.configNow()
	hooks := n.hooksOf("upgrade", merged)
	if err := hooks.Before(ctx); err != nil {
		return upgrade.Result{}, err
	}
	o.Tries = merged.Upgrade.Boots()
	warnings := n.trusting(&node)
	node.Against = func(ctx context.Context, kubernetes string) []error { return n.against(ctx, merged, kubernetes) }
	for _, text := range warnings {
		fmt.Fprintln(n.Stderr, "kairos: "+text)
	}
	result, err := upgrade.Run(ctx, node, o)
	if err == nil {
		result.Warnings = append(append(warnings, result.Warnings...), hooks.After(ctx)...)
	}
	return result, err
}

// upgraded returns the entry for the boot history.
func upgraded(source string, r upgrade.Result, err error) history.Entry {
	e := history.Entry{Kind: history.Upgrade, Slot: r.Slot, Version: r.Version, Outcome: history.OK, Message: source}
	if err == nil {
		return e
	}
	if incomplete, ok := errors.AsType[*upgrade.IncompleteError](err); ok {
		e.Slot = incomplete.Slot
	}
	e.Outcome, e.Message = history.Failed, fmt.Sprintf("%s: %v", source, err)
	return e
}

// upgradeNode returns this node as package upgrade sees it, and the function that
// closes it.
func (n *Node) upgradeNode() (upgrade.Installation, func() error, error) {
	boot, err := n.installed()
	if err != nil {
		return upgrade.Installation{}, nil, err
	}
	if n.OpenStore == nil {
		return upgrade.Installation{}, nil, errors.New("the boot environment is written on a running node only")
	}
	store, err := n.OpenStore(boot)
	if err != nil {
		return upgrade.Installation{}, nil, err
	}
	lock, err := n.Root.Fixed(upgrade.LockFile)
	if err != nil {
		return upgrade.Installation{}, nil, errors.Join(err, store.Close())
	}
	return upgrade.Installation{
		Booted: boot.Slot, Release: status.Release(n.Root), Store: store, Lock: lock,
		Open:       func(name string) (upgrade.Device, error) { return openPartition(boot, name) },
		BootLoader: bootLoader{booted: boot},
	}, store.Close, nil
}

// installed returns what the initramfs found. A live system is an error: an upgrade
// needs an installed node.
func (n *Node) installed() (*thisboot.Boot, error) {
	boot, err := status.ThisBoot(n.Root)
	if err == nil && boot.Mode == layout.ModeLive {
		err = errors.New("this system runs from an installer medium: install it first")
	}
	return boot, err
}

func openPartition(boot *thisboot.Boot, name string) (upgrade.Device, error) {
	path, err := boot.Device(name)
	if err != nil {
		return nil, err
	}
	return upgrade.OpenPartition(path)
}

// interrupted replaces the error of an upgrade that Ctrl-C ended by a plain sentence.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if e, ok := errors.AsType[*upgrade.IncompleteError](err); ok {
		return fmt.Errorf("interrupted: slot %s is not complete; slot %s stays good; run the upgrade again", e.Slot, e.Good)
	}
	return errors.New("interrupted; nothing was written")
}

// PlanReset returns the plan of a reset, with every reason against it.
func (n *Node) PlanReset(o reset.Options) (reset.Plan, error) {
	booted, err := status.ThisBoot(n.Root)
	if err != nil {
		return reset.Plan{}, err
	}
	return reset.New(booted, o)
}

// Reset carries out a plan, with the hooks of the config around it.
func (n *Node) Reset(ctx context.Context, plan reset.Plan) error {
	merged, _ := n.configNow()
	hooks := n.hooksOf("reset", merged)
	if err := hooks.Before(ctx); err != nil {
		return err
	}
	if err := n.runReset(ctx, plan); err != nil {
		return err
	}
	hooks.After(ctx)
	return nil
}

func (n *Node) runReset(ctx context.Context, plan reset.Plan) (err error) {
	if n.OpenStore == nil {
		return errors.New("slots are reset on a running node only")
	}
	booted, err := status.ThisBoot(n.Root)
	if err != nil {
		return err
	}
	s, err := n.OpenStore(booted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return plan.Run(ctx, reset.Installation{
		Disk: reset.Partitions(booted.Partitions), Store: s, Root: n.Root, Now: time.Now(), UUID: newUUID(), Log: n.Log,
	})
}

// newUUID returns a random UUID, version 4.
func newUUID() (id [16]byte) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
