// SPDX-License-Identifier: Apache-2.0

package slot_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const (
	a, b, rec = layout.SlotA, layout.SlotB, layout.SlotRecovery
)

// A node is a State and the real content of the slots. The two must agree.
type node struct {
	State  slot.State
	Booted layout.Slot
	Whole  [2]bool // of a, b: the image is written to its end
	Proven [2]bool // of a, b: the health checks passed since it was written
}

func index(s layout.Slot) int {
	if s == b {
		return 1
	}
	return 0
}

// events returns everything that can happen to a node, with the change to the slots. A
// forbidden event changes nothing.
func events() map[string]func(node) (node, error) {
	upgrade := func(n node, end bool) (node, error) {
		target := n.State.Target(n.Booted)
		s, err := n.State.Write(n.Booted, target)
		if err != nil {
			return n, err
		}
		n.State = s
		n.Whole[index(target)], n.Proven[index(target)] = false, false
		if !end {
			return n, nil
		}
		n.Whole[index(target)] = true
		n.State, err = n.State.Arm(target, 2)
		return n, err
	}
	change := func(n node, s slot.State, err error) (node, error) {
		if err == nil {
			n.State = s
		}
		return n, err
	}
	return map[string]func(node) (node, error){
		"boot": func(n node) (node, error) {
			c, s := n.State.Boot()
			n.State, n.Booted = s, c.Slot
			return n, nil
		},
		"boot, the choice does not load": func(n node) (node, error) {
			c, s := n.State.Boot()
			n.State, n.Booted = s, s.Fallbacks(c.Slot)[0].Slot
			return n, nil
		},
		"menu: a": func(n node) (node, error) { n.Booted = a; return n, nil },
		"menu: b": func(n node) (node, error) { n.Booted = b; return n, nil },
		"upgrade": func(n node) (node, error) { return upgrade(n, true) },
		"upgrade, cut": func(n node) (node, error) {
			return upgrade(n, false)
		},
		"health": func(n node) (node, error) {
			if n.State.Try == n.Booted {
				n.Proven[index(n.Booted)] = true
			}
			n.State = n.State.MarkGood(n.Booted)
			return n, nil
		},
		"came up":  func(n node) (node, error) { n.State = n.State.CameUp(); return n, nil },
		"give up":  func(n node) (node, error) { n.State = n.State.GiveUp(); return n, nil },
		"rollback": func(n node) (node, error) { s, err := n.State.Rollback(1); return change(n, s, err) },
		"next passive": func(n node) (node, error) {
			s, err := n.State.Select(layout.ModePassive)
			return change(n, s, err)
		},
		"next recovery": func(n node) (node, error) {
			s, err := n.State.Select(layout.ModeRecovery)
			return change(n, s, err)
		},
	}
}

// check tests the properties of a node.
func (n node) check() error {
	if err := n.State.Check(); err != nil {
		return err
	}
	for _, s := range []layout.Slot{a, b} {
		whole, proven := n.Whole[index(s)], n.Proven[index(s)]
		switch c := n.State.Condition(s); {
		case c == slot.Good && (!whole || !proven):
			return fmt.Errorf("slot %s is good: whole %v, proven %v", s, whole, proven)
		case c == slot.Old && (!whole || !proven):
			return fmt.Errorf("slot %s is old: whole %v, proven %v", s, whole, proven)
		case c == slot.Trying && !whole:
			return fmt.Errorf("slot %s is tried and not whole", s)
		}
	}
	return nil
}

// TestEverySequence visits all nodes that a sequence of events can lead to. The set is
// finite and small, so this covers every sequence of every length.
func TestEverySequence(t *testing.T) {
	start := node{State: slot.Initial(), Booted: a, Whole: [2]bool{true, true}, Proven: [2]bool{true, true}}
	from := map[node]string{start: "new disk"}
	queue := []node{start}
	edges := 0
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for name, event := range events() {
			next, err := event(n)
			if err != nil && next.State != n.State {
				t.Errorf("%s: %s: an error changed the state: %v", from[n], name, err)
			}
			edges++
			if _, seen := from[next]; seen {
				continue
			}
			from[next] = from[n] + ", " + name
			if err := next.check(); err != nil {
				t.Fatalf("%s: %v in %+v", from[next], err, next)
			}
			queue = append(queue, next)
		}
	}
	t.Logf("%d nodes, %d events", len(from), edges)
	if len(from) < 100 {
		t.Errorf("only %d nodes: the walk ended too early", len(from))
	}
}

// TestEveryNodeComesBack: from any state, the good slot runs by itself after a few boots,
// if it comes up.
func TestEveryNodeComesBack(t *testing.T) {
	for _, s := range slot.Every() {
		var c slot.Choice
		next := s
		for range slot.MaxTries + 3 {
			if c, next = next.Boot(); c.Slot != s.Try {
				next = next.CameUp()
			}
		}
		if c.Slot != s.Good {
			t.Errorf("%+v is still on slot %s after %d boots", s, c.Slot, slot.MaxTries+3)
		}
	}
}

// TestEverySlotHasItsTurn: if nothing comes up, each slot that is fit to boot is booted
// again and again, the good one most often.
func TestEverySlotHasItsTurn(t *testing.T) {
	const rounds = 3
	for _, s := range slot.Every() {
		next := s
		if next.Next != "" {
			_, next = next.Boot()
		}
		for next.Tries > 0 {
			_, next = next.Boot()
		}
		turns := map[layout.Slot]int{}
		for range rounds * (slot.MaxUnproven + 2) {
			var c slot.Choice
			c, next = next.Boot()
			turns[c.Slot]++
		}
		old, recovery := 0, 2*rounds
		if s.Condition(slot.Other(s.Good)) == slot.Old {
			old, recovery = rounds, rounds
		}
		if s.BadRecovery {
			recovery = 0
		}
		want := map[layout.Slot]int{s.Good: rounds*(slot.MaxUnproven+2) - old - recovery, slot.Other(s.Good): old, rec: recovery}
		for x, n := range want {
			if turns[x] != n {
				t.Errorf("%+v: slot %s has %d turns, want %d", s, x, turns[x], n)
			}
		}
	}
}

func TestBoot(t *testing.T) {
	tests := []struct {
		name  string
		state slot.State
		want  slot.Choice
		after slot.State
	}{
		{"new disk", slot.Initial(), slot.Choice{Slot: a, Mode: "active"}, slot.State{Good: a, Unproven: 1}},
		{"good b", slot.State{Good: b}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: b, Unproven: 1}},
		{"fifth boot", slot.State{Good: b, Unproven: 4}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: b, Unproven: 5}},
		{"old in its place", slot.State{Good: b, Unproven: 5}, slot.Choice{Slot: a, Mode: "passive"}, slot.State{Good: b, Unproven: 6}},
		{"recovery in its place", slot.State{Good: b, Unproven: 6}, slot.Choice{Slot: rec, Mode: "recovery"}, slot.State{Good: b, Unproven: 7}},
		{"good again", slot.State{Good: b, Unproven: 7}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: b, Unproven: 1}},
		{"the other is bad", slot.State{Good: b, Bad: a, Unproven: 5}, slot.Choice{Slot: rec, Mode: "recovery"}, slot.State{Good: b, Bad: a, Unproven: 6}},
		{"the other failed its trial", slot.State{Good: a, Try: b, Unproven: 5}, slot.Choice{Slot: rec, Mode: "recovery"}, slot.State{Good: a, Try: b, Unproven: 6}},
		{"nothing else is fit", slot.State{Good: b, Bad: a, BadRecovery: true, Unproven: 5}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: b, Bad: a, BadRecovery: true, Unproven: 6}},
		{"first try", slot.State{Good: a, Try: b, Tries: 3}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: a, Try: b, Tries: 2}},
		{"last try", slot.State{Good: a, Try: b, Tries: 1}, slot.Choice{Slot: b, Mode: "active"}, slot.State{Good: a, Try: b}},
		{"out of tries", slot.State{Good: a, Try: b}, slot.Choice{Slot: a, Mode: "passive"}, slot.State{Good: a, Try: b, Unproven: 1}},
		{"once passive", slot.State{Good: b, Next: "passive"}, slot.Choice{Slot: a, Mode: "passive"}, slot.State{Good: b}},
		{"once recovery, trial waits", slot.State{Good: a, Try: b, Tries: 2, Next: "recovery"}, slot.Choice{Slot: rec, Mode: "recovery"}, slot.State{Good: a, Try: b, Tries: 2}},
		{"once active, trial waits", slot.State{Good: a, Try: b, Tries: 2, Next: "active"}, slot.Choice{Slot: a, Mode: "active"}, slot.State{Good: a, Try: b, Tries: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, after := tt.state.Boot()
			if diff := cmp.Diff(tt.want, got) + cmp.Diff(tt.after, after); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRefusals: each forbidden event says why, and changes nothing.
func TestRefusals(t *testing.T) {
	write := func(booted, target layout.Slot) func(slot.State) (slot.State, error) {
		return func(s slot.State) (slot.State, error) { return s.Write(booted, target) }
	}
	tests := []struct {
		name  string
		state slot.State
		event func(slot.State) (slot.State, error)
		words string
	}{
		{"the running slot", slot.State{Good: a}, write(a, a), "the slot is running"},
		{"the good slot, from the trial", slot.State{Good: a, Try: b, Tries: 1}, write(b, a), "kairos-agent rollback"},
		{"the good slot, from a bad one", slot.State{Good: a, Bad: b}, write(b, a), "only good one"},
		{"the good slot, from recovery", slot.State{Good: a}, write(rec, a), "only good one"},
		{"the good slot, from recovery beside a trial", slot.State{Good: a, Try: b, Tries: 1}, write(rec, a), "only good one"},
		{"recovery as a slot", slot.State{Good: a}, write(a, rec), "only a and b"},
		{"arm what was not written", slot.State{Good: a}, func(s slot.State) (slot.State, error) { return s.Arm(b, 3) }, "has not begun"},
		{"arm with too many tries", slot.State{Good: a, Bad: b}, func(s slot.State) (slot.State, error) { return s.Arm(b, 4) }, "want 1 to 3"},
		{"roll back to a bad slot", slot.State{Good: a, Bad: b}, func(s slot.State) (slot.State, error) { return s.Rollback(3) }, "the slot is bad"},
		{"select a bad slot", slot.State{Good: a, Bad: b}, func(s slot.State) (slot.State, error) { return s.Select("passive") }, "the slot is bad"},
		{"select a bad recovery", slot.State{Good: a, BadRecovery: true}, func(s slot.State) (slot.State, error) { return s.Select("recovery") }, "upgrade --recovery"},
		{"select nonsense", slot.State{Good: a}, func(s slot.State) (slot.State, error) { return s.Select("live") }, "want active"},
		{"write recovery from recovery", slot.State{Good: a}, func(s slot.State) (slot.State, error) { return s.WriteRecovery(rec) }, "the slot is running"},
		{"write recovery on trial", slot.State{Good: a, Try: b}, func(s slot.State) (slot.State, error) { return s.WriteRecovery(b) }, "on trial"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.event(tt.state)
			if err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got error %v, want one with %q", err, tt.words)
			}
			got.Next = tt.state.Next
			if diff := cmp.Diff(tt.state, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCondition(t *testing.T) {
	for _, tt := range []struct {
		state     slot.State
		a, b, rec slot.Condition
	}{
		{slot.State{Good: a}, slot.Good, slot.Old, slot.Old},
		{slot.State{Good: a, BadRecovery: true}, slot.Good, slot.Old, slot.Bad},
		{slot.State{Good: b, Bad: a}, slot.Bad, slot.Good, slot.Old},
		{slot.State{Good: b, Try: a, Tries: 1, BadRecovery: true}, slot.Trying, slot.Good, slot.Bad},
	} {
		for x, want := range map[layout.Slot]slot.Condition{a: tt.a, b: tt.b, rec: tt.rec} {
			if got := tt.state.Condition(x); got != want {
				t.Errorf("%+v: slot %s is %s, want %s", tt.state, x, got, want)
			}
		}
	}
}

// TestSelect: a mode is refused for its own slot only, and every other mode is taken.
func TestSelect(t *testing.T) {
	active, passive, recovery := layout.ModeActive, layout.ModePassive, layout.ModeRecovery
	for _, tt := range []struct {
		state slot.State
		modes []layout.Mode
	}{
		{slot.State{Good: a, Next: passive}, []layout.Mode{"", active, passive, recovery}},
		{slot.State{Good: a, Bad: b}, []layout.Mode{"", active, recovery}},
		{slot.State{Good: a, BadRecovery: true}, []layout.Mode{"", active, passive}},
	} {
		for _, mode := range tt.modes {
			want := tt.state
			want.Next = mode
			if got, err := tt.state.Select(mode); err != nil || got != want {
				t.Errorf("%+v: select %q: got %+v, %v", tt.state, mode, got, err)
			}
		}
	}
}

// TestWriteRecovery: it cancels a selected boot of recovery, and no other selection.
func TestWriteRecovery(t *testing.T) {
	for next, want := range map[layout.Mode]layout.Mode{"": "", layout.ModePassive: layout.ModePassive, layout.ModeRecovery: ""} {
		got, err := slot.State{Good: a, Next: next}.WriteRecovery(a)
		if err != nil || got != (slot.State{Good: a, BadRecovery: true, Next: want}) {
			t.Errorf("next %q: got %+v, %v", next, got, err)
		}
	}
}

// TestTarget: an upgrade writes the slot that does not run; from recovery, the slot that
// is not good.
func TestTarget(t *testing.T) {
	for _, tt := range []struct{ good, booted, want layout.Slot }{
		{a, a, b}, {b, b, a}, {a, b, a}, {a, rec, b}, {b, rec, a},
	} {
		if got := (slot.State{Good: tt.good}).Target(tt.booted); got != tt.want {
			t.Errorf("slot %s is good, %s runs: the target is %s, want %s", tt.good, tt.booted, got, tt.want)
		}
	}
}

// TestWriteEndsAWish: Write cancels a selected boot of the slot that it writes. Any other
// selection stays.
func TestWriteEndsAWish(t *testing.T) {
	for next, want := range map[layout.Mode]layout.Mode{layout.ModePassive: "", layout.ModeRecovery: layout.ModeRecovery, layout.ModeActive: layout.ModeActive, "": ""} {
		got, err := slot.State{Good: a, Next: next}.Write(a, b)
		if err != nil || got != (slot.State{Good: a, Bad: b, Next: want}) {
			t.Errorf("next %q: got %+v, %v", next, got, err)
		}
	}
}

// TestTries: a trial has 1 to MaxTries boots, whichever event begins it.
func TestTries(t *testing.T) {
	for tries := -1; tries <= slot.MaxTries+1; tries++ {
		want := tries >= 1 && tries <= slot.MaxTries
		armed, err := slot.State{Good: a, Bad: b}.Arm(b, tries)
		if (err == nil) != want || want && armed != (slot.State{Good: a, Try: b, Tries: tries}) {
			t.Errorf("arming with %d tries: %+v, %v", tries, armed, err)
		}
		back, err := slot.State{Good: a}.Rollback(tries)
		if (err == nil) != want || want && back != armed {
			t.Errorf("rolling back with %d tries: %+v, %v", tries, back, err)
		}
	}
}

// TestMarkGoodOfNothing: a system that does not know its slot proves nothing.
func TestMarkGoodOfNothing(t *testing.T) {
	for _, s := range []slot.State{{Good: a}, {Good: a, Try: b, Tries: 1, Unproven: 2}} {
		for _, booted := range []layout.Slot{"", a, rec} {
			if got := s.MarkGood(booted); got != s {
				t.Errorf("%+v became %+v in slot %q", s, got, booted)
			}
		}
	}
}

// TestUpgradeFromOld: a node that is upgraded while it runs from the old slot keeps a good
// slot: the running one.
func TestUpgradeFromOld(t *testing.T) {
	got, err := slot.State{Good: b}.Write(a, b)
	if want := (slot.State{Good: a, Bad: b}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestFallbacks(t *testing.T) {
	tests := []struct {
		state  slot.State
		chosen layout.Slot
		want   string
	}{
		{slot.State{Good: a}, a, "b recovery"},
		{slot.State{Good: a, Try: b}, b, "a recovery"},
		{slot.State{Good: b, Bad: a}, b, "recovery a"},
		{slot.State{Good: a}, rec, "a b"},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range tt.state.Fallbacks(tt.chosen) {
			got = append(got, string(c.Slot))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: got %v, want %s", tt.state, got, tt.want)
		}
	}
}

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

// TestLife: a node on which every system comes up stays in its slot for ever.
func TestLife(t *testing.T) {
	for _, good := range []layout.Slot{a, b} {
		s := slot.State{Good: good}
		for boot := range 100 {
			c, counted := s.Boot()
			if want := (slot.Choice{Slot: good, Mode: layout.ModeActive}); c != want {
				t.Fatalf("boot %d: %+v, want %+v", boot+1, c, want)
			}
			s = counted.CameUp()
		}
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
