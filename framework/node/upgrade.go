// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// Upgrade writes an image to the slot that does not run, with the hooks of the config
// around it, and notes it in the boot history. The config says the Tries of o.
func (n *Node) Upgrade(ctx context.Context, o upgrade.Options) (result upgrade.Result, err error) {
	node, closeNode, err := n.upgradeNode()
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, closeNode()) }()
	result, err = n.runUpgrade(ctx, node, o)
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
	result, err := upgrade.Run(ctx, node, o)
	if err == nil {
		result.Warnings = append(result.Warnings, hooks.After(ctx)...)
	}
	return result, err
}

// upgraded is the entry of the boot history.
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

// upgradeNode is this node as upgrade sees it.
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
		Bootloader: func(files map[string][]byte) ([]string, error) { return stageBootloader(boot, files) },
	}, store.Close, nil
}

// installed is what the initramfs found. An upgrade needs a disk of ours.
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

// interrupted puts an end by Ctrl-C into plain words.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if e, ok := errors.AsType[*upgrade.IncompleteError](err); ok {
		return fmt.Errorf("interrupted: slot %s is not complete; slot %s stays good; run the upgrade again", e.Slot, e.Good)
	}
	return errors.New("interrupted; nothing was written")
}
