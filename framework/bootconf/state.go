// SPDX-License-Identifier: Apache-2.0

package bootconf

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// MaxTries is the largest number of boots that a slot on trial can be given.
const MaxTries = 3

// A State is what the environment block remembers.
type State struct {
	Good  layout.Slot // a or b
	Try   layout.Slot // a, b, or empty
	Tries int         // 0 to MaxTries; counts only with Try
	Next  layout.Mode // active, passive, recovery, or empty
}

// Initial is the state of a new disk.
func Initial() State { return State{Good: layout.SlotA} }

// Vars are the variables of the environment block, none of them empty.
func (s State) Vars() map[string]string {
	vars := map[string]string{"good": string(s.Good)}
	if s.Try != "" {
		vars["try"] = string(s.Try)
		vars["tries"] = strconv.Itoa(s.Tries)
	}
	if s.Next != "" {
		vars["next"] = string(s.Next)
	}
	return vars
}

// ParseState reads the variables as grub.cfg does, which forgives: what it does
// not know counts as nothing. Then the error says what that was, and the state
// is still the one by which GRUB boots.
func ParseState(vars map[string]string) (State, error) {
	p := parser{vars: vars}
	s := State{Good: layout.Slot(p.oneOf("good", "a", "b"))}
	if s.Good == "" {
		s.Good = layout.SlotA
	}
	s.Try = layout.Slot(p.oneOf("try", "a", "b"))
	if tries := p.oneOf("tries", "0", "1", "2", "3"); tries != "" && s.Try != "" {
		s.Tries = int(tries[0] - '0')
	}
	s.Next = layout.Mode(p.oneOf("next", "active", "passive", "recovery"))
	return s, p.err
}

type parser struct {
	vars map[string]string
	err  error
}

func (p *parser) oneOf(name string, known ...string) string {
	value := p.vars[name]
	if slices.Contains(known, value) {
		return value
	}
	if value != "" && p.err == nil {
		p.err = fmt.Errorf("boot environment: %s=%q: want one of %q or nothing", name, value, known)
	}
	return ""
}

// A Choice is what GRUB boots when everything loads.
type Choice struct {
	Slot layout.Slot
	Mode layout.Mode
}

// Choose is grub.cfg's choice, as a function: what it boots in state s, and the
// state that it leaves behind. The end-to-end tests hold GRUB to it.
func (s State) Choose() (Choice, State) {
	good := Choice{s.Good, layout.ModeActive}
	if s.Next != "" {
		next := s.Next
		s.Next = ""
		return s.once(next), s
	}
	switch {
	case s.Try == "":
		return good, s
	case s.Tries == 0:
		return Choice{s.Good, layout.ModePassive}, s
	}
	s.Tries--
	return Choice{s.Try, layout.ModeActive}, s
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

// Other is the slot that s is not: b for a, and a for everything else.
func Other(s layout.Slot) layout.Slot {
	if s == layout.SlotA {
		return layout.SlotB
	}
	return layout.SlotA
}
