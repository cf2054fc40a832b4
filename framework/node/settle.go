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

// Settle runs when the node is up. It says what this boot is, runs the health
// checks, and lets follow what package settle decides. Without a boot
// environment the checks are run for the status alone.
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
	return errors.Join(envErr, arriveErr, result.Write(n.Root), concludeErr, b.endBootloader(ctx))
}

// endBootloader lets a staged boot loader follow the slot that is good, or goes
// on with an update of it that was cut.
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

// carryOut does what a plan says. What proves a slot is written before it is
// said. A fallback is said before it is written: after a cut of power in
// between the next boot says it again. The file with its reason comes last, so
// whoever waits for it finds the rest done.
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

// conclude records an event that ends the watch over this boot. The watch goes on
// when that fails: it tries again when its time is over.
func (b *thisBoot) conclude(ctx context.Context, event settle.Event) error {
	if err := b.update(ctx, event); err != nil {
		return err
	}
	b.warn("ending the watch over this boot", b.stopTrial(ctx))
	return nil
}

// tellTime is how long words may take. A disk that hangs must not hold the
// restart that leads away from it.
const tellTime = time.Minute

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

// stopTrial ends kairos-trial.service, which would restart the node later, and the
// timer that would start it.
func (n *Node) stopTrial(ctx context.Context) error {
	return n.command(ctx, "systemctl", "stop", "--no-block", "kairos-trial.timer", "kairos-trial.service")
}

// trialGrace is what a boot may take before its health checks begin, on top of
// the time that they have.
const trialGrace = 5 * time.Minute

// trialDelay is how much of it is over when the watch begins: OnActiveSec= of
// kairos-trial.timer.
const trialDelay = 3 * time.Minute

// Trial watches over a boot, for the case that a unit hangs and the health checks
// never begin. It ends at once when nothing would follow, and when it is stopped,
// which `kairos-agent settle` does.
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

// overdue looks at the boot environment again: the slot may be good by now, or
// given up. When it cannot be read, the trial has failed too.
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
