// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	if p.node.Running() && os.Geteuid() != 0 {
		return node.Followed{}, errors.New("it writes to the disk and needs root: run it with sudo")
	}
	f, err := p.node.Follow(ctx, u.channel, u.source, u.options(newLog(p.stderr)))
	if err != nil {
		return f, err
	}
	fmt.Fprintf(p.stderr, "channel %s is %s since %s (sequence %d, %s)\n", u.channel, f.Pointer.Version, f.Pointer.Time.UTC().Format(time.DateTime), f.Pointer.Sequence, f.By)
	return f, nil
}

// upgradeItself is an upgrade that nobody asked for at this moment. Whatever speaks against it
// now is no failure: the timer comes again.
func (p *program) upgradeItself(ctx context.Context, u upgradeFlags, now time.Time) error {
	own := p.node.OwnUpgrades()
	if own.Channel == "" {
		return p.notNow("the config names no channel")
	}
	if !own.Window.Contains(now) {
		return p.notNow("it is %s, and the window is %s", now.Format("Mon 15:04"), own.Window)
	}
	if s, trying, err := p.node.OnTrial(); err != nil || trying {
		return errors.Join(err, p.notNow("slot %s is on trial", s))
	}
	u.channel = own.Channel
	if own.Repository != "" {
		u.source = own.Repository
	}
	f, err := p.follow(ctx, u)
	switch {
	case err != nil:
		return err
	case f.Runs:
		return nil
	case f.Against != "":
		return p.notNow("%s", f.Against)
	}
	u.source, u.reboot = f.Source, true
	if err := p.upgrade(ctx, u); !errors.Is(err, upgrade.ErrBusy) {
		return err
	}
	return p.notNow("%v", upgrade.ErrBusy)
}

// notNow says why the node does not upgrade itself.
func (p *program) notNow(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stderr, "no upgrade now: "+format+"\n", args...)
	return err
}
