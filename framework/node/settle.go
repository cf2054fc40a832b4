// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Settle runs when the node is up. It reports what this boot is, runs the health
// checks, and carries out what package settle decides. Without a boot environment
// it runs the checks only for the status.
func (n *Node) Settle(ctx context.Context) error {
	b, envErr := n.thisBoot()
	if b == nil {
		return envErr
	}
	if envErr != nil {
		envErr = errors.Join(envErr, n.say(ctx, envErr.Error()))
	}
	arriveErr := b.carryOut(ctx, settle.Arrive(b.state, b.boot, n.past()))
	result := n.examine(ctx, n.standard(), true)
	if ctx.Err() != nil { // the node goes down, so the checks say nothing
		return errors.Join(envErr, arriveErr)
	}
	concludeErr := b.carryOut(ctx, settle.Conclude(b.state, b.boot, result))
	b.keepTrust()
	return errors.Join(envErr, arriveErr, result.Write(n.Root), concludeErr, b.endBootloader(ctx))
}

// endBootloader installs a staged boot loader once the running slot is good, or
// continues an update of the boot loader that was interrupted.
func (b *thisBoot) endBootloader(ctx context.Context) error {
	if !b.Running() || b.state.Condition(b.boot.Slot) != slot.Good {
		return nil
	}
	line, err := settleBootloader(b.booted)
	if err != nil {
		line = fmt.Sprintf("the boot loader stays as it is: %v", err)
	}
	if line == "" {
		return nil
	}
	return errors.Join(err, b.say(ctx, line))
}

// carryOut carries out a plan. It records a good slot before it announces it. It
// announces a fallback before it records it: after a power cut in between, the next
// boot announces it again. FailureFile comes last, so that a program that waits for
// it finds the rest done.
func (b *thisBoot) carryOut(ctx context.Context, plan settle.Plan) error {
	if plan.Event == settle.MarkGood {
		if err := b.conclude(ctx, plan.Event); err != nil {
			return errors.Join(err, b.say(ctx, fmt.Sprintf("slot %s passed its health checks, and that could not be recorded: %v", b.boot.Slot, err)))
		}
	}
	all := within(tellTime, "saying what follows", func() error {
		return errors.Join(b.say(ctx, plan.Console...), b.remember(plan.History))
	})
	if plan.Event == settle.GiveUp || plan.Event == settle.CameUp {
		all = errors.Join(all, b.conclude(ctx, plan.Event), b.writeFailure(plan.Failure))
	}
	if plan.Restart && b.Restart != nil {
		all = errors.Join(all, b.Restart(ctx))
	}
	return all
}

// conclude records an event and stops the watch over this boot. If the record fails,
// the watch goes on and tries again when its time is over.
func (b *thisBoot) conclude(ctx context.Context, event settle.Event) error {
	if err := b.update(ctx, event); err != nil {
		return err
	}
	b.warn("ending the watch over this boot", b.stopTrial(ctx))
	if event == settle.MarkGood {
		b.warn("recording that this release is good with the datastore", within(proveTime, "recording it", b.proveDatastore))
	}
	return nil
}

// tellTime limits the writing of messages and of the history. A disk that hangs must
// not block the restart that leads away from it.
const tellTime = time.Minute

// proveTime limits the record on the disk that holds the datastore.
const proveTime = 10 * time.Second

// within waits for do, but not longer than limit.
func within(limit time.Duration, doing string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("%s takes more than %v: a disk or a console hangs", doing, limit)
	}
}

// stopTrial stops kairos-trial.service, which would restart the node later, and its
// timer.
func (n *Node) stopTrial(ctx context.Context) error {
	return n.command(ctx, "systemctl", "stop", "--no-block", "kairos-trial.timer", "kairos-trial.service")
}

// trialGrace is how long a boot may take until its health checks begin. The time
// limit of the checks comes on top.
const trialGrace = 5 * time.Minute

// trialDelay is the part of trialGrace that has passed when the watch begins:
// OnActiveSec= of kairos-trial.timer.
const trialDelay = 3 * time.Minute

// Trial watches over a boot, in case a unit hangs and the health checks never begin.
// It returns at once if this boot needs no watch. `kairos-agent settle` stops it.
func (n *Node) Trial(ctx context.Context) error {
	b, err := n.thisBoot()
	if b == nil {
		return err
	}
	limit := n.standard().health.Limit() + trialGrace
	rest := limit - trialDelay
	switch {
	case settle.Judge(b.state, b.boot) == settle.OnTrial:
		fmt.Fprintf(n.Stdout, "slot %s is on trial: it is left in %v, unless it is good by then\n", b.boot.Slot, rest)
	case b.state.Unproven > 0:
		fmt.Fprintf(n.Stdout, "slot %s has %v to come up, then it counts as up\n", b.boot.Slot, rest)
	default:
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(rest):
	}
	return b.overdue(ctx, limit)
}

// overdue reads the boot environment again: by now the slot may be good or given up.
// If it cannot be read, the state from the start of the watch counts.
func (b *thisBoot) overdue(ctx context.Context, limit time.Duration) error {
	now := make(chan slot.State, 1)
	b.warn("reading the boot environment", within(tellTime, "reading the boot environment", func() error {
		state, _, err := b.loadState(b.booted)
		if err == nil {
			now <- state
		}
		return err
	}))
	select {
	case b.state = <-now:
	default:
	}
	return b.carryOut(ctx, settle.Overdue(b.state, b.boot, limit))
}
