// SPDX-License-Identifier: Apache-2.0

package slot

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// A variable is one of the boot loader's variables, and how it stands for a part
// of a State.
type variable struct {
	name  string
	value func(State) string     // empty: the variable is not set
	read  func(*reading, *State) // sets its part of the State
}

// variables are all of them, in the order in which they are read: the later ones
// depend on the earlier ones. This is the only list of their names: whoever stores
// a State asks VarNames, and GRUB's script is held to it by a test.
var variables = []variable{
	{"good", func(s State) string { return string(s.Good) }, func(r *reading, s *State) {
		s.Good = layout.Slot(r.oneOf("good", "a", "b"))
		if s.Good == "" {
			s.Good = layout.SlotA
		}
	}},
	{"bad", func(s State) string { return string(s.Bad) }, func(r *reading, s *State) {
		s.Bad = layout.Slot(r.oneOf("bad", string(Other(s.Good))))
	}},
	{"try", func(s State) string { return string(s.Try) }, func(r *reading, s *State) {
		s.Try = layout.Slot(r.oneOf("try", string(Other(s.Good))))
		if s.Try == s.Bad && s.Try != "" {
			r.errs = append(r.errs, fmt.Errorf("boot environment: slot %s is on trial and bad", s.Try))
			s.Try = ""
		}
	}},
	{"tries", func(s State) string {
		if s.Try == "" {
			return ""
		}
		return strconv.Itoa(s.Tries)
	}, func(r *reading, s *State) {
		if tries := r.number("tries", 0, MaxTries); s.Try != "" {
			s.Tries = tries
		}
	}},
	{"badrec", func(s State) string {
		if s.BadRecovery {
			return "1"
		}
		return ""
	}, func(r *reading, s *State) { s.BadRecovery = r.oneOf("badrec", "1") != "" }},
	{"next", func(s State) string { return string(s.Next) }, func(r *reading, s *State) {
		s.Next = layout.Mode(r.oneOf("next", string(layout.ModeActive), string(layout.ModePassive), string(layout.ModeRecovery)))
	}},
	{"unproven", func(s State) string {
		if s.Unproven == 0 {
			return ""
		}
		return strconv.Itoa(s.Unproven)
	}, func(r *reading, s *State) { s.Unproven = r.number("unproven", 1, recoverysTurn) }},
}

// VarNames are the names of all variables that a State can have in a boot
// loader's environment. Every other variable there is somebody else's.
func VarNames() []string {
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.name
	}
	return names
}

// Vars are the variables of a boot loader's environment, none of them empty.
func (s State) Vars() map[string]string {
	vars := map[string]string{}
	for _, v := range variables {
		if value := v.value(s); value != "" {
			vars[v.name] = value
		}
	}
	return vars
}

// ParseVars reads the variables as the boot loader does, which forgives: what it
// does not know counts as nothing. Then the error says what that was, and the
// state is still the one by which it boots.
func ParseVars(vars map[string]string) (State, error) {
	r := reading{vars: vars}
	var s State
	for _, v := range variables {
		v.read(&r, &s)
	}
	return s, errors.Join(r.errs...)
}

// ParseArg reads layout.ArgEnv, in which a boot loader hands the variables on to
// the kernel, such as good=a,try=,unproven=1. What it does not know counts as
// nothing, as everywhere.
func ParseArg(value string) State {
	vars := map[string]string{}
	for part := range strings.SplitSeq(value, ",") {
		if name, v, ok := strings.Cut(part, "="); ok {
			vars[name] = v
		}
	}
	state, _ := ParseVars(vars)
	return state
}

// A reading is of the variables of one environment.
type reading struct {
	vars map[string]string
	errs []error
}

func (r *reading) oneOf(name string, known ...string) string {
	value := r.vars[name]
	if slices.Contains(known, value) {
		return value
	}
	if value != "" {
		r.errs = append(r.errs, fmt.Errorf("boot environment: %s=%q: want one of %q or nothing", name, value, known))
	}
	return ""
}

// number is one of the numbers from low to high, or 0.
func (r *reading) number(name string, low, high int) int {
	var known []string
	for n := low; n <= high; n++ {
		known = append(known, strconv.Itoa(n))
	}
	return max(0, slices.Index(known, r.oneOf(name, known...))+low)
}
