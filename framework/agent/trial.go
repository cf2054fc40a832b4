// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/agent/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

var trialVerb = verb{
	name: "trial", service: true, about: "limit the time of a boot: a slot on trial is left, another counts as up (kairos-trial.service does it)",
	setup: func(_ *flag.FlagSet, p *program) func(context.Context, []string) error {
		return func(ctx context.Context, args []string) error {
			if err := p.noArgs("trial", args); err != nil {
				return err
			}
			return p.trial(ctx)
		}
	},
}

// trialGrace is what a boot may take before its health checks begin, on top of
// the time that they have.
const trialGrace = 5 * time.Minute

// trial watches over a boot, for the case that a unit hangs and the health checks
// never begin. It ends at once when nothing would follow, and when it is stopped,
// which `kairos-agent settle` does.
func (p *program) trial(ctx context.Context) error {
	n, err := p.thisNode()
	if n == nil {
		return err
	}
	limit := p.standard().health.Limit() + trialGrace
	switch {
	case settle.Judge(n.state, n.boot) == settle.OnTrial:
		fmt.Fprintf(p.stdout, "slot %s is on trial: it is left in %v, unless it is good by then\n", n.boot.Slot, limit)
	case n.state.Unproven > 0:
		fmt.Fprintf(p.stdout, "slot %s has %v to come up, then it counts as up\n", n.boot.Slot, limit)
	default:
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(limit):
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
