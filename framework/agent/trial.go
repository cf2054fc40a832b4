// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func newTrial(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "trial",
		Short:   "Limit the time in which a boot comes up (kairos-trial.service)",
		Example: "  kairos-agent trial",
		Args:    commandline.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.trial(cmd.Context()) },
	}
}

// trialGrace is what a boot may take before its health checks begin, on top of
// the time that they have.
const trialGrace = 5 * time.Minute

// trialDelay is how much of it is over when the watch begins: OnActiveSec= of
// kairos-trial.timer.
const trialDelay = 3 * time.Minute

// trial watches over a boot, for the case that a unit hangs and the health checks
// never begin. It ends at once when nothing would follow, and when it is stopped,
// which `kairos-agent settle` does.
func (p *program) trial(ctx context.Context) error {
	n, err := p.thisNode()
	if n == nil {
		return err
	}
	limit := p.standard().health.Limit() + trialGrace
	rest := limit - trialDelay
	switch {
	case settle.Judge(n.state, n.boot) == settle.OnTrial:
		fmt.Fprintf(p.stdout, "slot %s is on trial: it is left in %v, unless it is good by then\n", n.boot.Slot, rest)
	case n.state.Unproven > 0:
		fmt.Fprintf(p.stdout, "slot %s has %v to come up, then it counts as up\n", n.boot.Slot, rest)
	default:
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(rest):
	}
	return p.overdue(ctx, n, limit)
}

// overdue looks at the boot environment again: the slot may be good by now, or
// given up. When it cannot be read, the trial has failed too.
func (p *program) overdue(ctx context.Context, n *node, limit time.Duration) error {
	now := make(chan slot.State, 1)
	p.warn("reading the boot environment", within(tellTime, "reading the boot environment", func() error {
		state, _, err := p.loadState(n.booted)
		if err == nil {
			now <- state
		}
		return err
	}))
	select {
	case n.state = <-now:
	default:
	}
	return p.carryOut(ctx, n, settle.Overdue(n.state, n.boot, limit))
}
