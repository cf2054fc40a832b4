// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/slot"
)

// How often a healthy node is booted in all. A good slot that does not come up is
// left after five boots, so the short test goes beyond them.
const (
	lifeBoots      = 20
	lifeBootsShort = slot.MaxUnproven + 2
)

// live reboots a healthy node again and again: it must stay in slot a, active.
func (s walk) live(ctx context.Context) {
	boots := lifeBoots
	if s.Short {
		boots = lifeBootsShort
	}
	begin := time.Now()
	err := s.stays(ctx, boots-s.Lived)
	s.Conclude("stays", "stays in its good slot over many boots", time.Since(begin), fmt.Sprintf("%d boots", boots), err)
}

// stays reboots the node as a person does, waits each time until it has recorded
// that it came up, and looks in the end what it says of its slots.
func (s walk) stays(ctx context.Context, reboots int) error {
	for n := range reboots {
		if err := s.rebootAndSettle(ctx); err != nil {
			return fmt.Errorf("reboot %d of %d: %w", n+1, reboots, err)
		}
	}
	return s.Slots(ctx, slot.Good, slot.Old)
}

func (s walk) rebootAndSettle(ctx context.Context) error {
	if err := s.Reboot(ctx); err != nil {
		return err
	}
	return s.Settled(ctx)
}
