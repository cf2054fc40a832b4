// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/node/settle"
	"github.com/kairos-build/kairos-build/framework/slot"
)

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
