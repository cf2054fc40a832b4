// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
)

// An Outcome is what Settle found and made of it.
type Outcome struct {
	Was, Now State
	// Unproved says why the boot loader was replaced without a trial; nil when
	// it was proved, and when it was not replaced.
	Unproved error
}

// Settle is the agent's step at each boot, after the running system became good:
// it promotes the update whose trial this boot is, goes on with one that was
// cut, and discards one whose trial did not come up. An update that can have no
// trial is promoted too, now that its image is good, and Unproved says so; one
// that can and has none gets it in the next boot. Without anything staged it
// does nothing, and both states are empty.
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
	case Outdated, Failed: // a cut in the middle of Stage or Discard; no proof
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
