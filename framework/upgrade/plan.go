// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A plan says which slot is written.
type plan struct {
	target layout.Slot
	good   layout.Slot // the good slot while the target is written
}

// choose makes the plan from the current state and checks that the state allows it.
func (u *run) choose(context.Context) error {
	s, err := u.node.Store.Load()
	if err != nil {
		if bad := s.Check(); bad != nil {
			return err
		}
		u.warn("the record of the slots was damaged and is written anew: %v", err)
	}
	u.plan.target = s.Target(u.node.Booted)
	if u.Recovery {
		u.plan.target = layout.SlotRecovery
	}
	next, err := u.writing(s)
	if err != nil {
		return err
	}
	if u.plan.good = next.Good; s.Try == u.plan.target {
		u.warn("slot %s was waiting for its first boot; this upgrade takes its place", s.Try)
	}
	u.result.Slot = u.plan.target
	return nil
}

// writing returns the state while the target is written.
func (u *run) writing(s slot.State) (slot.State, error) {
	if u.Recovery {
		return s.WriteRecovery(u.node.Booted)
	}
	return s.Write(u.node.Booted, u.plan.target)
}

// begin makes the target bad. If that fails but may have reached the medium, the error
// counts as one after the first write.
func (u *run) begin(context.Context) error {
	var before slot.State
	allowed := false
	next, err := u.node.Store.Update(func(s slot.State) (slot.State, error) {
		next, err := u.writing(s)
		before, allowed = s, err == nil
		return next, err
	})
	if err == nil {
		u.plan.good = next.Good
		return nil
	}
	if now, _ := u.node.Store.Load(); !allowed || now == before { // a state that cannot be read counts as changed
		return err
	}
	return u.incomplete(err)
}

// incomplete returns the error for a failure after the first write.
func (u *run) incomplete(err error) error {
	return &IncompleteError{Slot: u.plan.target, Good: u.plan.good, Err: err}
}

// arm puts the target on trial.
func (u *run) arm(context.Context) error {
	_, err := u.node.Store.Update(func(s slot.State) (slot.State, error) {
		if u.Recovery {
			return s.ArmRecovery(), nil
		}
		return s.Arm(u.plan.target, u.Tries)
	})
	if err == nil && !u.Recovery {
		u.result.Tries = u.Tries
	}
	return err
}
