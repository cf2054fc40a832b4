// SPDX-License-Identifier: Apache-2.0

package slot_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func TestVarsRoundTrip(t *testing.T) {
	for _, s := range slot.Every() {
		block, err := grubenv.Encode(s.Vars())
		if err != nil {
			t.Fatal(err)
		}
		vars, err := grubenv.Decode(block)
		if err != nil {
			t.Fatal(err)
		}
		got, err := slot.ParseVars(vars)
		if diff := cmp.Diff(s, got); diff != "" || err != nil {
			t.Errorf("error %v\n%s", err, diff)
		}
	}
}

// TestEvery: the list has every state that Check accepts, once.
func TestEvery(t *testing.T) {
	seen := map[slot.State]bool{}
	for _, s := range slot.Every() {
		if err := s.Check(); err != nil || seen[s] {
			t.Errorf("%+v: listed before %v, error %v", s, seen[s], err)
		}
		seen[s] = true
	}
	for _, s := range slot.Every() {
		for _, next := range neighbours(s) {
			if next.Check() == nil && !seen[next] {
				t.Errorf("%+v is not listed", next)
			}
		}
	}
}

// neighbours returns states that differ from s in one value.
func neighbours(s slot.State) (list []slot.State) {
	add := func(change func(*slot.State)) {
		next := s
		change(&next)
		list = append(list, next)
	}
	for _, x := range []layout.Slot{"", a, b, rec} {
		add(func(s *slot.State) { s.Good = x })
		add(func(s *slot.State) { s.Try = x })
		add(func(s *slot.State) { s.Bad = x })
	}
	for n := range 10 {
		add(func(s *slot.State) { s.Tries = n - 1 })
		add(func(s *slot.State) { s.Unproven = n - 1 })
	}
	for _, m := range []layout.Mode{"", layout.ModeActive, layout.ModePassive, layout.ModeRecovery, "live"} {
		add(func(s *slot.State) { s.Next = m })
	}
	add(func(s *slot.State) { s.BadRecovery = !s.BadRecovery })
	return list
}

// TestVarNames: a State uses only listed variables, and every listed variable is used by
// some State.
func TestVarNames(t *testing.T) {
	used := map[string]bool{}
	for _, s := range slot.Every() {
		for name := range s.Vars() {
			used[name] = true
		}
	}
	got := slices.Sorted(maps.Keys(used))
	if diff := cmp.Diff(slices.Sorted(slices.Values(slot.VarNames())), got); diff != "" {
		t.Error(diff)
	}
}

func TestParseVarsForgives(t *testing.T) {
	tests := []struct {
		vars map[string]string
		want slot.State
		err  string
	}{
		{nil, slot.State{Good: a}, ""},
		{map[string]string{"good": "b", "try": "", "tries": "", "next": ""}, slot.State{Good: b}, ""},
		{map[string]string{"good": "recovery"}, slot.State{Good: a}, `good="recovery"`},
		{map[string]string{"good": "b", "try": "b", "tries": "2"}, slot.State{Good: b}, `try="b"`},
		{map[string]string{"good": "b", "try": "a", "tries": "2", "bad": "a"}, slot.State{Good: b, Bad: a}, "on trial and bad"},
		{map[string]string{"try": "b", "tries": "9"}, slot.State{Good: a, Try: b}, `tries="9"`},
		{map[string]string{"next": "live"}, slot.State{Good: a}, `next="live"`},
		{map[string]string{"badrec": "yes"}, slot.State{Good: a}, `badrec="yes"`},
		{map[string]string{"tries": "2"}, slot.State{Good: a}, ""},
		{map[string]string{"unproven": "7"}, slot.State{Good: a, Unproven: 7}, ""},
		{map[string]string{"unproven": "8"}, slot.State{Good: a}, `unproven="8"`},
	}
	for _, tt := range tests {
		got, err := slot.ParseVars(tt.vars)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.vars, diff)
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%v: error %v, want %q", tt.vars, err, tt.err)
		}
	}
}

// FuzzParseVars: whatever is in the environment, Check accepts the state, and the state
// survives a round trip.
func FuzzParseVars(f *testing.F) {
	f.Add("a", "b", "3", "", "", "passive", "7")
	f.Fuzz(func(t *testing.T, good, try, tries, bad, badrec, next, unproven string) {
		s, _ := slot.ParseVars(map[string]string{"good": good, "try": try, "tries": tries, "bad": bad, "badrec": badrec, "next": next, "unproven": unproven})
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		if again, err := slot.ParseVars(s.Vars()); err != nil || again != s {
			t.Errorf("%+v became %+v: %v", s, again, err)
		}
	})
}
