// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// rollbackTries is how many boots the old slot gets to pass its health checks
// again. It did before: one is enough, and one is for a cut of power.
const rollbackTries = 2

func newRollback(p *program) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the other slot at the next boot",
		Example: `  sudo kairos-agent rollback
  sudo kairos-agent rollback --reboot`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.reboot && !p.onNode() {
				return commandline.Usagef(cmd, "--reboot is for the running system, not with --root")
			}
			return p.rollback(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.reboot, "reboot", false, "reboot now")
	cmd.Flags().IntVar(&o.tries, "tries", rollbackTries, "boots that the old slot gets to pass its health checks, 1 to 3")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON: an object with next and slots, as in status --json")
	return cmd
}

type rollbackOptions struct {
	reboot, asJSON bool
	tries          int
}

// rollback gives up a trial, or puts the old slot on trial.
func (p *program) rollback(ctx context.Context, o rollbackOptions) error {
	next, err := p.changeSlots(func(s slot.State) (slot.State, error) { return s.Rollback(o.tries) })
	if err != nil {
		return err
	}
	p.warn("writing the boot history", p.remember([]history.Entry{rolledBack(next)}))
	if err := p.showNext(next, o.asJSON); err != nil || !o.reboot || p.restart == nil {
		return err
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

// showNext tells what the next boot starts.
func (p *program) showNext(s slot.State, asJSON bool) error {
	if asJSON {
		return p.showEntries(true)
	}
	sentence := status.NextBoot(s).Sentence
	_, err := fmt.Fprintf(p.stdout, "%s%s\n", strings.ToUpper(sentence[:1]), sentence[1:])
	return err
}
