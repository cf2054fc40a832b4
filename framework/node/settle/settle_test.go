// SPDX-License-Identifier: Apache-2.0

package settle

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const (
	a, b, rec = layout.SlotA, layout.SlotB, layout.SlotRecovery
	active    = layout.ModeActive
	passive   = layout.ModePassive
	recovery  = layout.ModeRecovery
)

func healthy() health.Result { return health.Result{OK: true, Seconds: 1} }

func unhealthy() health.Result {
	return health.Result{Checks: []health.Check{{Name: "tcp x:1", Message: "connection refused"}}}
}

func TestJudge(t *testing.T) {
	trying := func(tries int) slot.State { return slot.State{Good: a, Try: b, Tries: tries} }
	for _, c := range []struct {
		name  string
		state slot.State
		slot  layout.Slot
		mode  layout.Mode
		want  Situation
	}{
		{"new disk", slot.Initial(), a, active, Normal},
		{"first try", trying(2), b, active, OnTrial},
		{"last try", trying(0), b, active, OnTrial},
		{"chosen in the menu", trying(2), b, passive, Elsewhere},
		{"no tries left", trying(0), a, passive, Failed},
		{"did not load", trying(2), a, passive, Failed},
		{"did not load at its last try", trying(0), a, passive, Failed},
		{"armed, not booted yet", trying(3), a, active, Normal},
		{"the trial has to wait: next=active", trying(2), a, active, Normal},
		{"next=active after the last try", trying(0), a, active, Failed},
		{"recovery was chosen before the trial", trying(3), rec, recovery, Normal},
		{"neither try nor good load", trying(0), rec, recovery, Failed},
		{"given up", slot.State{Good: a, Bad: b}, a, active, Normal},
		{"the good one does not load", slot.Initial(), b, passive, Elsewhere},
		{"the bad one, because nothing else loads", slot.State{Good: a, Bad: b}, b, passive, Elsewhere},
		{"recovery", slot.Initial(), rec, recovery, Normal},
		{"b is the good one", slot.State{Good: b}, b, active, Normal},
		{"a is on trial", slot.State{Good: b, Try: a, Tries: 1}, a, active, OnTrial},
		{"the old one in its place", slot.State{Good: a, Unproven: 6}, b, passive, Stuck},
		{"recovery in its place", slot.State{Good: a, Bad: b, Unproven: 6}, rec, recovery, Stuck},
		{"recovery in its place, after a trial", slot.State{Good: a, Try: b, Unproven: 6}, rec, recovery, Stuck},
		{"good again", slot.State{Good: a, Unproven: 1}, a, active, Normal},
		{"nothing else is fit", slot.State{Good: a, Bad: b, BadRecovery: true, Unproven: 6}, a, active, Normal},
		{"chosen in the menu, too early to say", slot.State{Good: a, Unproven: 5}, b, passive, Elsewhere},
		{"installer medium", slot.State{Good: a, Try: b}, a, layout.ModeLive, Normal},
	} {
		if got := Judge(c.state, Boot{Slot: c.slot, Mode: c.mode}); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestConclude(t *testing.T) {
	state := func(tries int) slot.State { return slot.State{Good: a, Try: b, Tries: tries} }
	boot := Boot{Slot: b, Mode: active, Version: "v2"}
	bad := history.Entry{Kind: history.TrialFailed, Slot: b, Version: "v2", Outcome: history.Failed, Message: "1 of 1 checks failed: tcp x:1: connection refused"}
	for _, c := range []struct {
		name   string
		state  slot.State
		boot   Boot
		result health.Result
		want   Plan
	}{
		{"passed", state(2), boot, healthy(), Plan{
			Event: MarkGood, Console: []string{"slot b is good"},
			History: []history.Entry{{Kind: history.Good, Slot: b, Version: "v2", Outcome: history.OK, Message: "0 checks passed in 1.0 s"}},
		}},
		{"failed, tries left", state(1), boot, unhealthy(), Plan{
			Console: []string{"slot b is not good: " + bad.Message, "restarting; boots left to slot b: 1"},
			History: []history.Entry{bad}, Restart: true,
		}},
		{"failed, none left", state(0), boot, unhealthy(), Plan{
			Console: []string{"slot b is not good: " + bad.Message, "restarting into slot a"},
			History: []history.Entry{bad}, Restart: true,
		}},
		{"not on trial, failed", slot.Initial(), Boot{Slot: a, Mode: active}, unhealthy(), Plan{}},
		{"not on trial, passed", slot.Initial(), Boot{Slot: a, Mode: active}, healthy(), Plan{}},
		{"chosen in the menu", state(1), Boot{Slot: b, Mode: passive}, healthy(), Plan{}},
		{"fallback", state(0), Boot{Slot: a, Mode: passive}, unhealthy(), Plan{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Conclude(c.state, c.boot, c.result)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestArrive(t *testing.T) {
	failed := func(message string) history.Entry {
		return history.Entry{Kind: history.TrialFailed, Slot: b, Version: "v2", Outcome: history.Failed, Message: message}
	}
	const silent = "it did not load, or it ended before its health checks: a panic, a hang, no root file system, or a block of the root that does not fit its hash"
	for _, c := range []struct {
		name  string
		state slot.State
		boot  Boot
		past  []history.Entry
		event Event
		want  string // FailureFile
		lines []string
	}{
		{"nothing", slot.Initial(), Boot{Slot: a, Mode: active}, nil, Nothing, "", nil},
		{"on trial", slot.State{Good: a, Try: b, Tries: 2}, Boot{Slot: b, Mode: active}, nil, Nothing, "",
			[]string{"slot b is on trial, its health checks begin; boots left: 2"}},
		{"up", slot.State{Good: a, Unproven: 1}, Boot{Slot: a, Mode: active}, nil, CameUp, "", nil},
		{"on trial, with boots before it", slot.State{Good: a, Try: b, Unproven: 1}, Boot{Slot: b, Mode: active}, nil, Nothing, "",
			[]string{"slot b is on trial, its health checks begin; boots left: 0"}},
		{"in the place of the good one", slot.State{Good: a, Unproven: 6}, Boot{Slot: b, Mode: passive}, nil, CameUp,
			"slot a, the good one, did not come up in 5 boots in a row: they ended before the system was up: a panic, a hang, a block of the root that does not fit its hash, or cuts of power\n",
			[]string{"slot a, the good one, did not come up in 5 boots in a row: they ended before the system was up: a panic, a hang, a block of the root that does not fit its hash, or cuts of power",
				"slot b runs in its place until the next restart; `kairos-agent status` shows more, `kairos-agent upgrade` makes a good slot"}},
		{"in its place, and the initramfs said why", slot.State{Good: a, Unproven: 7}, Boot{Slot: rec, Mode: recovery},
			[]history.Entry{{Kind: history.Boot, Slot: a, Outcome: history.Failed, Message: "no verity superblock"}, {Kind: history.Boot, Slot: b, Outcome: history.OK}}, CameUp,
			"slot a, the good one, did not come up in 5 boots in a row: no verity superblock\n",
			[]string{"slot a, the good one, did not come up in 5 boots in a row: no verity superblock",
				"slot recovery runs in its place until the next restart; `kairos-agent status` shows more, `kairos-agent upgrade` makes a good slot"}},
		{"elsewhere", slot.Initial(), Boot{Slot: b, Mode: passive}, nil, Nothing, "",
			[]string{"slot b runs as passive and is not the good one: slot a did not load, or slot b was chosen"}},
		{"checks failed", slot.State{Good: a, Try: b}, Boot{Slot: a, Mode: passive},
			[]history.Entry{failed("of an older trial"), {Kind: history.Upgrade, Slot: b, Version: "v2"}, failed("first"), {Kind: history.Boot, Slot: a}, failed("second")},
			GiveUp, "the upgrade to slot b (v2) failed: second\n",
			[]string{"the upgrade to slot b (v2) failed: second", "slot a runs again; `kairos-agent status` shows more"}},
		{"the initramfs gave up", slot.State{Good: a, Try: b}, Boot{Slot: a, Mode: passive},
			[]history.Entry{{Kind: history.Upgrade, Slot: b}, {Kind: history.Boot, Slot: b, Outcome: history.Failed, Message: "no root"}, {Kind: history.Boot, Slot: b, Outcome: history.OK, Message: "ready"}},
			GiveUp, "the upgrade to slot b failed: no root\n",
			[]string{"the upgrade to slot b failed: no root", "slot a runs again; `kairos-agent status` shows more"}},
		{"silent", slot.State{Good: a, Try: b}, Boot{Slot: a, Mode: passive},
			[]history.Entry{failed("of an older trial"), {Kind: history.Upgrade, Slot: b, Version: "v3"}},
			GiveUp, "the upgrade to slot b (v3) failed: " + silent + "\n",
			[]string{"the upgrade to slot b (v3) failed: " + silent, "slot a runs again; `kairos-agent status` shows more"}},
		{"no history, but a label", slot.State{Good: b, Try: a}, Boot{Slot: b, Mode: passive, Tried: "v3"}, nil,
			GiveUp, "the upgrade to slot a (v3) failed: " + silent + "\n",
			[]string{"the upgrade to slot a (v3) failed: " + silent, "slot b runs again; `kairos-agent status` shows more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Arrive(c.state, c.boot, c.past)
			if got.Event != c.event || got.Restart {
				t.Errorf("event %q, restart %v, want %q", got.Event, got.Restart, c.event)
			}
			if diff := cmp.Diff(c.want, got.Failure); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.lines, got.Console); diff != "" {
				t.Errorf("console (-want +got):\n%s", diff)
			}
			if last := got.History[len(got.History)-1]; last.Kind != history.Boot {
				t.Errorf("no entry of the boot: %+v", got.History)
			}
		})
	}
}

func TestOverdue(t *testing.T) {
	state := slot.State{Good: a, Try: b, Tries: 1}
	if got := Overdue(state, Boot{Slot: b, Mode: active}, time.Minute); !got.Restart || got.History[0].Kind != history.TrialFailed {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(Plan{}, Overdue(slot.State{Good: b}, Boot{Slot: b, Mode: active}, time.Minute)); diff != "" {
		t.Errorf("it became good:\n%s", diff)
	}
	if got := Overdue(slot.State{Good: b, Unproven: 1}, Boot{Slot: b, Mode: active}, time.Minute); got.Event != CameUp || got.Restart {
		t.Errorf("a good slot whose checks do not begin: %+v", got)
	}
}

func TestApply(t *testing.T) {
	trial := slot.State{Good: a, Try: b, Tries: 1, Unproven: 2}
	for _, c := range []struct {
		event  Event
		booted layout.Slot
		want   slot.State
	}{
		{MarkGood, b, trial.MarkGood(b)},
		{GiveUp, a, slot.State{Good: a, Bad: b}},
		{CameUp, a, slot.State{Good: a, Try: b, Tries: 1}},
		{"", a, trial},
	} {
		if got := c.event.Apply(trial, c.booted); got != c.want {
			t.Errorf("%q in slot %s: got %+v, want %+v", c.event, c.booted, got, c.want)
		}
	}
}

// TestLastWords: of the last boot of the slot alone, and only if it failed.
func TestLastWords(t *testing.T) {
	failed := history.Entry{Kind: history.Boot, Slot: a, Outcome: history.Failed, Message: "no disk"}
	good, upgrade, other := failed, failed, failed
	good.Outcome, upgrade.Kind, other.Slot = history.OK, history.Upgrade, b
	for _, c := range []struct {
		past []history.Entry
		want string
	}{
		{nil, ""},
		{[]history.Entry{failed}, "no disk"},
		{[]history.Entry{failed, other}, "no disk"},
		{[]history.Entry{failed, good}, ""},
		{[]history.Entry{failed, upgrade}, ""},
	} {
		if got := lastWords(c.past, a); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.past, got, c.want)
		}
	}
}

// TestWhy: the boot loader skips a slot that does not load, which leaves tries.
func TestWhy(t *testing.T) {
	known := trial{reasons: []string{"first", "last"}}
	for _, c := range []struct {
		trial trial
		tries int
		mode  layout.Mode
		want  string
	}{
		{known, 1, passive, "it did not load: kernel, initrd"},
		{known, 0, passive, "last"},
		{known, 1, active, "last"},
		{trial{}, 0, passive, "or it ended before its health checks"},
	} {
		if got := c.trial.why(slot.State{Tries: c.tries}, Boot{Mode: c.mode}); !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c, got, c.want)
		}
	}
}

// TestApplyInTheMeantime: a person rolled back while the checks ran.
func TestApplyInTheMeantime(t *testing.T) {
	givenUp := slot.State{Good: a, Bad: b}
	if got := MarkGood.Apply(givenUp, b); got != givenUp {
		t.Errorf("MarkGood: %+v", got)
	}
	armedAnew := slot.State{Good: a, Try: b, Tries: 3}
	if got := GiveUp.Apply(armedAnew, b); got != armedAnew {
		t.Errorf("GiveUp of the slot that runs: %+v", got)
	}
}

// A fault goes wrong in every boot of the slot on trial.
type fault struct {
	name string
	// load is false when GRUB cannot start the slot.
	load bool
	// up is true when `kairos-agent settle` runs.
	up bool
	// late is true when the trial's time is over before the checks end.
	late   bool
	result health.Result
	reason string // in FailureFile, with three tries
	boots  int    // of the slot on trial that begin, with three tries
}

// faults returns the faults of the issue. Each leads back to the good slot without a
// person.
func faults() []fault {
	const silent = "it ended before its health checks"
	return []fault{
		{name: "a check fails", load: true, up: true, result: unhealthy(), reason: "connection refused", boots: 3},
		{name: "a unit hangs", load: true, up: true, late: true, reason: "its health checks did not begin", boots: 3},
		{name: "a hang that the watchdog ends", load: true, reason: silent, boots: 3},
		{name: "a panic", load: true, reason: silent, boots: 3},
		{name: "the initramfs finds no root", load: true, reason: silent, boots: 3},
		{name: "a verity error", load: true, reason: silent, boots: 3},
		{name: "the kernel does not load", reason: "it did not load", boots: 0},
		{name: "the initrd does not load", reason: "it did not load", boots: 0},
	}
}

// node is a machine: its boot loader's state and its boot history.
type node struct {
	state    slot.State
	past     []history.Entry
	failures []string
	trials   int
}

func (n *node) do(p Plan, booted layout.Slot) {
	n.past = append(n.past, p.History...)
	n.state = p.Event.Apply(n.state, booted)
	if p.Failure != "" {
		n.failures = append(n.failures, p.Failure)
	}
}

// boot starts the machine once. It returns the boot that is up in the end, and false
// if the machine restarts.
func (n *node) boot(f fault) (Boot, bool) {
	choice, next := n.state.Boot()
	n.state = next
	onTrial := choice.Slot == b
	if onTrial && !f.load {
		choice, onTrial = n.state.Fallbacks(choice.Slot)[0], false
	}
	runs := Boot{Slot: choice.Slot, Mode: choice.Mode, Version: "v-" + string(choice.Slot)}
	if !onTrial {
		n.do(Arrive(n.state, runs, n.past), runs.Slot)
		n.do(Conclude(n.state, runs, healthy()), runs.Slot)
		return runs, true
	}
	n.trials++
	if !f.up {
		return runs, false
	}
	plan := Overdue(n.state, runs, time.Minute)
	if !f.late {
		n.do(Arrive(n.state, runs, n.past), runs.Slot)
		plan = Conclude(n.state, runs, f.result)
	}
	n.do(plan, runs.Slot)
	return runs, !plan.Restart
}

func TestEveryFaultLeadsBack(t *testing.T) {
	for _, f := range faults() {
		for tries := 1; tries <= slot.MaxTries; tries++ {
			n := node{state: slot.State{Good: a, Try: b, Tries: tries}, past: []history.Entry{{Kind: history.Upgrade, Slot: b, Version: "v-b"}}}
			var runs Boot
			settled := false
			for i := 0; !settled && i < 10; i++ {
				runs, settled = n.boot(f)
			}
			if !settled || runs.Slot != a || runs.Mode != passive {
				t.Errorf("%s, %d tries: settled %v in %+v", f.name, tries, settled, runs)
			}
			if want := min(f.boots, tries); n.trials != want {
				t.Errorf("%s, %d tries: %d boots of the slot on trial, want %d", f.name, tries, n.trials, want)
			}
			if want := (slot.State{Good: a, Bad: b}); n.state != want {
				t.Errorf("%s, %d tries: state %+v, want %+v", f.name, tries, n.state, want)
			}
			if len(n.failures) != 1 || tries == 3 && !strings.Contains(n.failures[0], f.reason) || !strings.Contains(n.failures[0], "slot b (v-b)") {
				t.Errorf("%s, %d tries: failures %q, want %q", f.name, tries, n.failures, f.reason)
			}
			if runs, _ = n.boot(f); runs.Slot != a || runs.Mode != active || len(n.failures) != 1 {
				t.Errorf("%s: the boot after it: %+v, failures %q", f.name, runs, n.failures)
			}
		}
	}
}

// TestHealthySlotStays: a slot on trial that passes its checks becomes good and stays.
func TestHealthySlotStays(t *testing.T) {
	n := node{state: slot.State{Good: a, Try: b, Tries: 3}}
	for range 3 {
		if runs, up := n.boot(fault{load: true, up: true, result: healthy()}); !up || runs.Slot != b || runs.Mode != active {
			t.Fatalf("runs %+v, up %v", runs, up)
		}
	}
	if n.state != (slot.State{Good: b}) || len(n.failures) > 0 {
		t.Errorf("state %+v, failures %q", n.state, n.failures)
	}
}
