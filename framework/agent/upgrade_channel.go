// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// upgradeToChannel upgrades to the image that a channel names.
func (p *program) upgradeToChannel(ctx context.Context, u upgradeFlags) error {
	if err := channel.CheckName(u.channel); err != nil {
		return commandline.UsageError{Err: fmt.Errorf("--channel: %w", err)}
	}
	if u.recovery || u.skip {
		return commandline.UsageError{Err: errors.New("--channel is for a verified image in the passive slot: leave --recovery and --insecure-skip-verify out, or name the image with --source")}
	}
	f, err := p.follow(ctx, u)
	if err != nil {
		return err
	}
	if f.Runs {
		fmt.Fprintf(p.stderr, "channel %s is %s, which runs already\n", u.channel, f.Pointer.Version)
		return nil
	}
	u.source = f.Source
	return p.upgrade(ctx, u)
}

// follow finds the image of a channel, and says what it is.
func (p *program) follow(ctx context.Context, u upgradeFlags) (node.Followed, error) {
	if err := p.needsRoot(); err != nil {
		return node.Followed{}, err
	}
	f, err := p.node.Follow(ctx, u.channel, u.source, u.options(newLog(p.stderr)))
	if err != nil {
		return f, err
	}
	p.printFollowed(u.channel, f)
	return f, nil
}

// printFollowed says what a channel names, if it was asked.
func (p *program) printFollowed(channel string, f node.Followed) {
	if f.Source != "" {
		fmt.Fprintf(p.stderr, "channel %s is %s since %s (sequence %d, %s)\n", channel, f.Pointer.Version, f.Pointer.Time.UTC().Format(time.DateTime), f.Pointer.Sequence, f.By)
	}
}

// upgradeItself is an upgrade that nobody asked for at this moment. Whatever speaks against it
// now is no failure: the timer comes again.
func (p *program) upgradeItself(ctx context.Context, u upgradeFlags, now func() time.Time) error {
	if err := p.needsRoot(); err != nil {
		return err
	}
	due, err := p.node.Due(ctx, now(), u.options(newLog(p.stderr)))
	if err != nil {
		return err
	}
	p.printFollowed(p.node.OwnUpgrades().Channel, due.Followed)
	switch {
	case due.Not != "":
		return p.notNow("%s", due.Not)
	case due.Withdraw:
		fmt.Fprintln(p.stderr, "it runs: the image that waits for a restart is not tried")
		return p.node.Withdraw()
	case due.Runs:
		return nil
	case due.Restart:
		return p.reboot(ctx)
	}
	if err := p.node.Await(due.Digest); err != nil {
		return err
	}
	u.source = due.Source
	if err := p.upgrade(ctx, u); errors.Is(err, upgrade.ErrBusy) {
		return p.notNow("%v", upgrade.ErrBusy)
	} else if err != nil {
		return err
	}
	if !p.node.MayRestart(now()) {
		fmt.Fprintf(p.stderr, "the window %s is over: the restart waits for the next one\n", p.node.OwnUpgrades().Window)
		return nil
	}
	return p.reboot(ctx)
}

// notNow says why the node does not upgrade itself.
func (p *program) notNow(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stderr, "no upgrade now: "+format+"\n", args...)
	return err
}
