// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// How often a healthy node is booted in all. A good slot that does not come up is
// left after five boots, so the short test goes beyond them.
const (
	lifeBoots      = 20
	lifeBootsShort = slot.MaxUnproven + 2
)

// live reboots a healthy node again and again: it must stay in slot a, active.
func (s *session) live(ctx context.Context) {
	boots := lifeBoots
	if s.r.Short {
		boots = lifeBootsShort
	}
	begin := time.Now()
	err := s.stays(ctx, boots-s.lived)
	s.record("stays", "stays in its good slot over many boots", time.Since(begin), fmt.Sprintf("%d boots", boots), err)
	s.r.progress(*s.results["stays"])
}

// settledLine is systemd's, of the unit that records that the node came up.
var settledLine = regexp.MustCompile(`Started .*kairos-settle\.service`)

// stays reboots the node by Ctrl-Alt-Del, which needs no login, and asks it in the
// end what it has counted.
func (s *session) stays(ctx context.Context, reboots int) error {
	for n := range reboots {
		if err := s.pressed(ctx); err != nil {
			return fmt.Errorf("reboot %d of %d: %w", n+1, reboots, err)
		}
	}
	if err := s.login(ctx); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	return s.slots(ctx, slot.Good, slot.Old)
}

// pressed reboots the node by the keyboard, and waits until it has come up in slot a
// and recorded that.
func (s *session) pressed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout+s.r.BootTimeout)
	defer cancel()
	s.vm.Console().Skip()
	if err := s.vm.CtrlAltDel(ctx); err != nil {
		return err
	}
	if _, err := s.readyIn(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return err
	}
	_, err := s.vm.WaitLine(ctx, settledLine)
	return err
}
