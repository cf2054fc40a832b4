// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/agent/status"
	"github.com/kairos-build/kairos-build/framework/history"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// rollbackTries is how many boots the old slot gets to pass its health checks
// again. It did before: one is enough, and one is for a cut of power.
const rollbackTries = 2

var rollbackVerb = verb{
	name: "rollback", args: "[--reboot] [--tries N]", about: "go back to the other slot at the next boot",
	setup: func(f *flag.FlagSet, p *program) func(context.Context, []string) error {
		reboot := f.Bool("reboot", false, "reboot now")
		tries := f.Int("tries", rollbackTries, "boots that the old slot gets to pass its health checks, 1 to 3")
		return func(ctx context.Context, args []string) error {
			if err := p.noArgs("rollback", args); err != nil {
				return err
			}
			if *reboot && !p.onNode() {
				fmt.Fprintln(p.stderr, "kairos-agent rollback: --reboot is for the running system, not with --root")
				return errUsage
			}
			return p.rollback(ctx, *reboot, *tries)
		}
	},
}

// rollback gives up a trial, or puts the old slot on trial.
func (p *program) rollback(ctx context.Context, reboot bool, tries int) error {
	next, err := p.changeSlots(func(s slot.State) (slot.State, error) { return s.Rollback(tries) })
	if err != nil {
		return err
	}
	p.sayNext(next)
	p.warn("writing the boot history", p.remember([]history.Entry{rolledBack(next)}))
	if !reboot || p.restart == nil {
		return nil
	}
	return p.restart(ctx)
}

// rolledBack is the entry in the boot history: the slot that is gone back to.
func rolledBack(next slot.State) history.Entry {
	to := next.Good
	if next.Try != "" {
		to = next.Try
	}
	return history.Entry{Kind: history.Rollback, Slot: to, Outcome: history.OK, Message: status.NextBoot(next).Sentence}
}

// changeSlots applies an event to the boot environment and returns what it is
// then.
func (p *program) changeSlots(event func(slot.State) (slot.State, error)) (next slot.State, err error) {
	state, err := status.BootState(p.root)
	if err != nil {
		return next, err
	}
	env, err := status.Environment(p.root, state)
	if err != nil {
		return next, err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	return env.Update(event)
}

// sayNext tells what the next boot starts.
func (p *program) sayNext(s slot.State) {
	sentence := status.NextBoot(s).Sentence
	fmt.Fprintf(p.stdout, "%s%s\n", strings.ToUpper(sentence[:1]), sentence[1:])
}
