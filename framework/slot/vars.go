// SPDX-License-Identifier: Apache-2.0

package slot

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Vars are the variables of a boot loader's environment, none of them empty:
// good, try, tries, bad, badrec (1), next and unproven.
func (s State) Vars() map[string]string {
	vars := map[string]string{"good": string(s.Good)}
	if s.Try != "" {
		vars["try"] = string(s.Try)
		vars["tries"] = strconv.Itoa(s.Tries)
	}
	if s.Bad != "" {
		vars["bad"] = string(s.Bad)
	}
	if s.BadRecovery {
		vars["badrec"] = "1"
	}
	if s.Next != "" {
		vars["next"] = string(s.Next)
	}
	if s.Unproven > 0 {
		vars["unproven"] = strconv.Itoa(s.Unproven)
	}
	return vars
}

// ParseVars reads the variables as GRUB's script does, which forgives: what it
// does not know counts as nothing. Then the error says what that was, and the
// state is still the one by which GRUB boots.
func ParseVars(vars map[string]string) (State, error) {
	p := parser{vars: vars}
	s := State{Good: layout.Slot(p.oneOf("good", "a", "b"))}
	if s.Good == "" {
		s.Good = layout.SlotA
	}
	other := string(Other(s.Good))
	s.Bad = layout.Slot(p.oneOf("bad", other))
	if s.Try = layout.Slot(p.oneOf("try", other)); s.Try == s.Bad && s.Try != "" {
		p.errs = append(p.errs, fmt.Errorf("boot environment: slot %s is on trial and bad", s.Try))
		s.Try = ""
	}
	if tries := p.oneOf("tries", "0", "1", "2", "3"); tries != "" && s.Try != "" {
		s.Tries = int(tries[0] - '0')
	}
	s.BadRecovery = p.oneOf("badrec", "1") != ""
	s.Next = layout.Mode(p.oneOf("next", "active", "passive", "recovery"))
	if n := p.oneOf("unproven", "1", "2", "3", "4", "5", "6", "7"); n != "" {
		s.Unproven = int(n[0] - '0')
	}
	return s, errors.Join(p.errs...)
}

type parser struct {
	vars map[string]string
	errs []error
}

func (p *parser) oneOf(name string, known ...string) string {
	value := p.vars[name]
	if slices.Contains(known, value) {
		return value
	}
	if value != "" {
		p.errs = append(p.errs, fmt.Errorf("boot environment: %s=%q: want one of %q or nothing", name, value, known))
	}
	return ""
}
