// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func newSettle(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "settle",
		Short:   "Check a new slot, keep it or leave it (kairos-settle.service)",
		Example: "  kairos-agent settle",
		Args:    commandline.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.settle(cmd.Context()) },
	}
}

// settle runs when the node is up. It says what this boot is, runs the health
// checks, and lets follow what package settle decides. Without a boot
// environment the checks are run for the status alone.
func (p *program) settle(ctx context.Context) error {
	n, envErr := p.thisNode()
	if n == nil {
		return envErr
	}
	if envErr != nil {
		envErr = errors.Join(envErr, p.say(ctx, envErr.Error()))
	}
	arriveErr := p.carryOut(ctx, n, settle.Arrive(n.state, n.boot, p.past()))
	result := p.examine(ctx, p.standard(), true)
	if ctx.Err() != nil { // the node goes down, so the checks say nothing
		return errors.Join(envErr, arriveErr)
	}
	concludeErr := p.carryOut(ctx, n, settle.Conclude(n.state, n.boot, result))
	return errors.Join(envErr, arriveErr, result.Write(p.root), concludeErr, p.endBootloader(ctx, n))
}

// endBootloader lets a staged boot loader follow the slot that is good, or goes
// on with an update of it that was cut.
func (p *program) endBootloader(ctx context.Context, n *node) error {
	if !p.onNode() || n.state.Condition(n.boot.Slot) != slot.Good {
		return nil
	}
	line, err := settleBootloader(n.booted)
	if err != nil {
		line = fmt.Sprintf("the boot loader stays as it is: %v", err)
	}
	if line == "" {
		return nil
	}
	return errors.Join(err, p.say(ctx, line))
}

// carryOut does what a plan says. What proves a slot is written before it is
// said. A fallback is said before it is written: after a cut of power in
// between the next boot says it again. The file with its reason comes last, so
// whoever waits for it finds the rest done.
func (p *program) carryOut(ctx context.Context, n *node, plan settle.Plan) error {
	if plan.Event == settle.MarkGood {
		if err := p.conclude(ctx, n, plan.Event); err != nil {
			return errors.Join(err, p.say(ctx, fmt.Sprintf("slot %s passed its health checks, and that could not be recorded: %v", n.boot.Slot, err)))
		}
	}
	all := within(tellTime, "saying what follows", func() error {
		return errors.Join(p.say(ctx, plan.Console...), p.remember(plan.History))
	})
	if plan.Event == settle.GiveUp || plan.Event == settle.CameUp {
		all = errors.Join(all, p.conclude(ctx, n, plan.Event), p.writeFailure(plan.Failure))
	}
	if plan.Restart && p.restart != nil {
		all = errors.Join(all, p.restart(ctx))
	}
	return all
}

// conclude records an event that ends the watch over this boot. The watch goes on
// when that fails: it tries again when its time is over.
func (p *program) conclude(ctx context.Context, n *node, event settle.Event) error {
	if err := p.update(ctx, n, event); err != nil {
		return err
	}
	p.warn("ending the watch over this boot", p.stopTrial(ctx))
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
func (p *program) stopTrial(ctx context.Context) error {
	if !p.onNode() {
		return nil
	}
	return output(exec.CommandContext(ctx, "systemctl", "stop", "--no-block", "kairos-trial.timer", "kairos-trial.service"))
}

// say prints lines for the journal and on every console.
func (p *program) say(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "kairos: %s\n", short(strings.ReplaceAll(line, "\n", " | ")))
	}
	fmt.Fprint(p.stdout, text.String())
	return p.onConsoles(ctx, text.String())
}

// maxLine is how long a line on a console may be, in bytes: a serial line is
// slow, and status has the whole text.
const maxLine = 500

func short(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxLine], "") + "…"
}
