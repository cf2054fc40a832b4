// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/slot"
)

// How often a healthy node boots in all. GRUB gives up a good slot that does not come up
// after five boots, so even the short test has more.
const (
	lifeBoots      = 20
	lifeBootsShort = slot.MaxUnproven + 2
)

// live reboots a healthy node again and again. It must stay in slot a, active.
func (s walk) live(ctx context.Context) {
	boots := lifeBoots
	if s.Short {
		boots = lifeBootsShort
	}
	begin := time.Now()
	err := s.stays(ctx, boots-s.Lived)
	s.Conclude("stays", "stays in its good slot over many boots", time.Since(begin), fmt.Sprintf("%d boots", boots), err)
}

// stays reboots the node as a user does, and waits each time until it has recorded that
// it came up. At the end it checks the conditions of the slots.
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
