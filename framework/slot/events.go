// SPDX-License-Identifier: Apache-2.0

package slot

import (
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Errors of events. Each comes wrapped in a sentence that says what to do.
var (
	ErrRunning = errors.New("the slot is running")          // an upgrade would overwrite it
	ErrOnTrial = errors.New("the running slot is on trial") // it is unproven, so the good slot must stay
	ErrBad     = errors.New("the slot is bad")
	ErrNotOurs = errors.New("the state does not allow it")
)

// Target returns the slot that an upgrade writes on a node that runs from booted. From
// recovery it is the slot that is not good.
func (s State) Target(booted layout.Slot) layout.Slot {
	if booted == layout.SlotRecovery {
		return Other(s.Good)
	}
	return Other(booted)
}

// Write is the event before the first byte of target is written, on a node that
// runs from booted. The target is bad until Arm.
func (s State) Write(booted, target layout.Slot) (State, error) {
	switch {
	case target != layout.SlotA && target != layout.SlotB:
		return s, fmt.Errorf("writing slot %q: %w: only a and b are upgraded", target, ErrNotOurs)
	case booted == target:
		return s, fmt.Errorf("writing slot %s: %w", target, ErrRunning)
	case target != s.Good:
		// The usual case.
	case booted == s.Try && s.Try != "":
		return s, fmt.Errorf("writing slot %s: %w: slot %s is the only good one until %s has passed its health checks; wait for them, or go back with `kairos-agent rollback --reboot`", target, ErrOnTrial, target, booted)
	case s.Condition(booted) != Old || booted == layout.SlotRecovery:
		return s, fmt.Errorf("writing slot %s: %w: it is the only good one", target, ErrNotOurs)
	default:
		s.Good, s.Unproven = booted, 0
	}
	s.Try, s.Tries, s.Bad = "", 0, target
	if s.Next == layout.ModePassive {
		s.Next = ""
	}
	return s, nil
}

// Arm is the event after target was written and read back. The slot gets the given number
// of boots to prove itself.
func (s State) Arm(target layout.Slot, tries int) (State, error) {
	if target == "" || target != s.Bad {
		return s, fmt.Errorf("arming slot %q: %w: its writing has not begun", target, ErrNotOurs)
	}
	if tries < 1 || tries > MaxTries {
		return s, fmt.Errorf("arming slot %s with %d tries: want 1 to %d", target, tries, MaxTries)
	}
	s.Try, s.Tries, s.Bad = target, tries, ""
	return s, nil
}

// MarkGood is the event after the health checks of the running slot passed. If that slot
// is not on trial, nothing changes.
func (s State) MarkGood(booted layout.Slot) State {
	if booted == "" || booted != s.Try {
		return s
	}
	s.Good, s.Try, s.Tries, s.Unproven = booted, "", 0, 0
	return s
}

// CameUp is the event of a system that is up, from any slot: the node is in no boot loop.
func (s State) CameUp() State {
	s.Unproven = 0
	return s
}

// GiveUp ends the trial: the slot becomes bad.
func (s State) GiveUp() State {
	if s.Try != "" {
		s.Bad, s.Try, s.Tries = s.Try, "", 0
	}
	return s
}

// Rollback goes back to the other slot. If there is a slot on trial, running or not,
// Rollback gives up the trial. Otherwise the old slot is on trial for the given number
// of boots: it must prove itself too, and if it fails, the present good slot boots.
func (s State) Rollback(tries int) (State, error) {
	s.Next = ""
	if s.Try != "" {
		return s.GiveUp(), nil
	}
	old := Other(s.Good)
	if s.Condition(old) == Bad {
		return s, fmt.Errorf("rolling back to slot %s: %w: it failed, or was not written to its end; upgrade to the version that you want instead", old, ErrBad)
	}
	if tries < 1 || tries > MaxTries {
		return s, fmt.Errorf("rolling back to slot %s with %d tries: want 1 to %d", old, tries, MaxTries)
	}
	s.Try, s.Tries = old, tries
	return s, nil
}

// Select chooses the mode of the next boot, once. An empty mode cancels the choice.
func (s State) Select(m layout.Mode) (State, error) {
	switch {
	case m == layout.ModePassive && s.Condition(Other(s.Good)) == Bad:
		return s, fmt.Errorf("selecting the passive slot %s: %w", Other(s.Good), ErrBad)
	case m == layout.ModeRecovery && s.BadRecovery:
		return s, fmt.Errorf("selecting recovery: %w: write it again with `kairos-agent upgrade --recovery`", ErrBad)
	case m != "" && m != layout.ModeActive && m != layout.ModePassive && m != layout.ModeRecovery:
		return s, fmt.Errorf("selecting %q: want active, passive or recovery", m)
	}
	s.Next = m
	return s, nil
}

// WriteRecovery is the event before the first byte of the recovery slot is
// written, on a node that runs from booted.
func (s State) WriteRecovery(booted layout.Slot) (State, error) {
	if booted == layout.SlotRecovery {
		return s, fmt.Errorf("writing the recovery slot: %w", ErrRunning)
	}
	if booted == s.Try {
		return s, fmt.Errorf("writing the recovery slot: %w: wait until slot %s has passed its health checks", ErrOnTrial, booted)
	}
	s.BadRecovery = true
	if s.Next == layout.ModeRecovery {
		s.Next = ""
	}
	return s, nil
}

// ArmRecovery is the event after the recovery slot was written and read back.
func (s State) ArmRecovery() State {
	s.BadRecovery = false
	return s
}

// Boot is the event of the boot loader. It returns what the boot loader boots, and the
// state that it writes before.
func (s State) Boot() (Choice, State) {
	switch {
	case s.Next != "":
		next := s.Next
		s.Next = ""
		return s.once(next), s
	case s.Tries > 0:
		s.Tries--
		return Choice{s.Try, layout.ModeActive}, s
	}
	s.Unproven = s.Unproven%recoverysTurn + 1
	return s.byDefault(), s
}

// byDefault returns the good slot, as passive if a trial used up its tries, or the slot
// that boots in its place because it does not come up.
func (s State) byDefault() Choice {
	switch {
	case s.Unproven == oldsTurn && s.Condition(Other(s.Good)) == Old:
		return Choice{Other(s.Good), layout.ModePassive}
	case s.Unproven >= oldsTurn && !s.BadRecovery:
		return Choice{layout.SlotRecovery, layout.ModeRecovery}
	case s.Try != "":
		return Choice{s.Good, layout.ModePassive}
	}
	return Choice{s.Good, layout.ModeActive}
}

func (s State) once(next layout.Mode) Choice {
	switch next {
	case layout.ModePassive:
		return Choice{Other(s.Good), layout.ModePassive}
	case layout.ModeRecovery:
		return Choice{layout.SlotRecovery, layout.ModeRecovery}
	}
	return Choice{s.Good, layout.ModeActive}
}

// Fallbacks lists what the boot loader starts, in this order, if the chosen slot does not
// load. A slot known to be bad comes last.
func (s State) Fallbacks(chosen layout.Slot) []Choice {
	other := Other(s.Good)
	order := []Choice{{s.Good, layout.ModePassive}, {other, layout.ModePassive}, {layout.SlotRecovery, layout.ModeRecovery}}
	if s.Bad == other {
		order[1], order[2] = order[2], order[1]
	}
	var list []Choice
	for _, c := range order {
		if c.Slot != chosen {
			list = append(list, c)
		}
	}
	return list
}
