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

// A variable is a variable of the boot loader that represents a part of a State.
type variable struct {
	name  string
	value func(State) string     // empty: the variable is not set
	read  func(*reading, *State) // sets its part of the State
}

// variables lists all variables in the order of reading: later ones depend on earlier
// ones. This is the only list of their names: a Store gets them from VarNames, and a test
// checks GRUB's script against it.
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

// VarNames returns the names of all variables of a State in a boot loader's environment.
// Other variables there belong to other programs.
func VarNames() []string {
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.name
	}
	return names
}

// Vars returns the variables of s for a boot loader's environment. None is empty.
func (s State) Vars() map[string]string {
	vars := map[string]string{}
	for _, v := range variables {
		if value := v.value(s); value != "" {
			vars[v.name] = value
		}
	}
	return vars
}

// ParseVars reads the variables as the boot loader does: unknown values count as empty.
// The error then names these values, and the state is still the one that the boot loader
// uses.
func ParseVars(vars map[string]string) (State, error) {
	r := reading{vars: vars}
	var s State
	for _, v := range variables {
		v.read(&r, &s)
	}
	return s, errors.Join(r.errs...)
}

// ParseArg reads the value of layout.ArgEnv, the kernel argument in which a boot loader
// passes the variables on, such as good=a,try=,unproven=1. Unknown values count as empty.
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

// A reading reads the variables of one environment and collects errors.
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

// number returns a number from low to high. An empty or unknown value counts as 0.
func (r *reading) number(name string, low, high int) int {
	var known []string
	for n := low; n <= high; n++ {
		known = append(known, strconv.Itoa(n))
	}
	return max(0, slices.Index(known, r.oneOf(name, known...))+low)
}
