// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
)

// An Outcome is the state that Settle found, and the state after it.
type Outcome struct {
	Was, Now State
	// Unproved says why the boot loader was replaced without a trial; nil if a trial
	// proved it, or if it was not replaced.
	Unproved error
}

// Settle is the agent's step at each boot, after the running system became good. It
// promotes an update whose trial this boot is, continues an interrupted promotion, and
// discards an update whose trial did not come up. It also promotes an update that can
// have no trial, now that its image is good, and Unproved says why. An update that can
// have a trial and had none gets it in the next boot. If nothing is staged whole, Settle
// removes leftovers, and both states are empty.
func Settle(m Machine) (Outcome, error) {
	f, err := Staging(m)
	if errors.Is(err, ErrNotStaged) {
		return Outcome{}, Discard(m)
	}
	if err != nil {
		return Outcome{}, err
	}
	before, err := Plan(m, f)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{Was: before.State}
	if o.Unproved, err = m.settleState(f, before); err != nil {
		return o, err
	}
	after, err := Plan(m, f)
	o.Now = after.State
	return o, err
}

func (m Machine) settleState(f *Files, u Update) (unproved, err error) {
	switch u.State {
	case Running, Promoting, Promoted:
		return nil, Promote(m, f)
	case Outdated, Failed: // Stage or Discard was interrupted, or the trial failed
		return nil, Discard(m)
	case Staged:
		r, err := Stage(m, f)
		if err != nil || r.Unproved == nil {
			return nil, err
		}
		m.Vars = nil
		return r.Unproved, Promote(m, f)
	}
	return nil, nil // current, or the trial is still to come
}
