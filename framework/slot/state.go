// SPDX-License-Identifier: Apache-2.0

package slot

import (
	"fmt"
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// MaxTries is the largest number of boots that a slot on trial can be given.
const MaxTries = 3

// MaxUnproven is how many boots in a row the good slot gets without coming up, before
// another slot boots in its place.
const MaxUnproven = 5

// Values of Unproven after MaxUnproven: the turn of the old slot, then of recovery.
const (
	oldsTurn      = MaxUnproven + 1
	recoverysTurn = MaxUnproven + 2
)

// A State is everything that the boot loader and the agent remember between
// boots. It is a value: events return a new one.
type State struct {
	Good  layout.Slot // the default slot, a or b
	Try   layout.Slot // the slot on trial: the one that is not Good, or empty
	Tries int         // boots that Try has left, 0 to MaxTries
	// Bad is the slot that is not Good and must not be booted: it failed, or its
	// writing has begun and not ended. Empty if there is none; never the same as Try.
	Bad layout.Slot
	// BadRecovery says that the recovery slot must not be booted: its writing has
	// begun and not ended.
	BadRecovery bool
	Next        layout.Mode // mode of the next boot, once: active, passive, recovery, or empty
	// Unproven counts the default boots since a system last came up: up to
	// MaxUnproven boots of the good slot, then one of each slot in its place.
	Unproven int
}

// Initial is the state of a new disk, which has the same image in all slots.
func Initial() State { return State{Good: layout.SlotA} }

// A Condition says whether a slot is proven and whether it may boot.
type Condition string

// The conditions.
const (
	Good   Condition = "good"   // proven, and booted by default
	Trying Condition = "trying" // written whole and read back, not proven yet
	Old    Condition = "old"    // proven, no longer the default: rollback goes back to it
	Bad    Condition = "bad"    // failed its trial, or is not written whole
)

// Condition returns the condition of slot x. Recovery is old or bad: it is never the
// default.
func (s State) Condition(x layout.Slot) Condition {
	switch {
	case x == layout.SlotRecovery && s.BadRecovery, x == s.Bad && x != "":
		return Bad
	case x == s.Good:
		return Good
	case x == s.Try:
		return Trying
	}
	return Old
}

// Other returns the other slot: b for a, and a for everything else.
func Other(x layout.Slot) layout.Slot {
	if x == layout.SlotA {
		return layout.SlotB
	}
	return layout.SlotA
}

// Check returns an error for a state that no sequence of events leads to.
func (s State) Check() error {
	ab := func(x layout.Slot) bool { return x == layout.SlotA || x == layout.SlotB }
	switch {
	case !ab(s.Good):
		return fmt.Errorf("good slot %q: want a or b", s.Good)
	case s.Try != "" && s.Try != Other(s.Good), s.Bad != "" && s.Bad != Other(s.Good):
		return fmt.Errorf("slot %s is good, and on trial (%q) or bad (%q) besides", s.Good, s.Try, s.Bad)
	case s.Try != "" && s.Try == s.Bad:
		return fmt.Errorf("slot %s is on trial and bad", s.Try)
	case s.Tries < 0 || s.Tries > MaxTries || s.Try == "" && s.Tries != 0:
		return fmt.Errorf("%d tries for slot %q: want 0 to %d", s.Tries, s.Try, MaxTries)
	case !slices.Contains([]layout.Mode{"", layout.ModeActive, layout.ModePassive, layout.ModeRecovery}, s.Next):
		return fmt.Errorf("the next boot is %q: want active, passive, recovery or nothing", s.Next)
	case s.Unproven < 0 || s.Unproven > recoverysTurn:
		return fmt.Errorf("%d boots of slot %s that nobody proved: want 0 to %d", s.Unproven, s.Good, recoverysTurn)
	}
	return nil
}

// Every returns every State that Check accepts. There are 768, few enough to test a store
// with all of them.
func Every() []State {
	var list []State
	for _, good := range []layout.Slot{layout.SlotA, layout.SlotB} {
		for _, next := range []layout.Mode{"", layout.ModeActive, layout.ModePassive, layout.ModeRecovery} {
			for _, badRecovery := range []bool{false, true} {
				for n := range recoverysTurn + 1 {
					s := State{Good: good, Next: next, BadRecovery: badRecovery, Unproven: n}
					list = append(list, s)
					bad := s
					bad.Bad = Other(good)
					list = append(list, bad)
					for tries := range MaxTries + 1 {
						s.Try, s.Tries = Other(good), tries
						list = append(list, s)
					}
				}
			}
		}
	}
	return list
}
