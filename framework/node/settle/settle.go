// SPDX-License-Identifier: Apache-2.0

// Package settle decides what follows from a boot: whether the slot on trial
// becomes good, is tried again or is given up, and what is reported about it. Its
// functions are pure: they make a Plan from the boot loader's state (slot.State),
// the boot and the result of the health checks. The agent carries out plans.
//
// # A boot, as the agent sees it
//
//	what runs                              situation  what follows
//	try, as active                         OnTrial    checks pass: good; fail, or time is over: restart
//	another slot, and try has no boots     Failed     try is given up
//	another slot, as passive, try has some Failed     it did not load, so it is given up
//	another slot, after 5 boots of good    Stuck      a report; the next boot is good's again
//	no try, and not the good slot          Elsewhere  a report; nothing else
//	anything else                          Normal     nothing
//
// A running slot is up, unless it is on trial: the boot loader's count of unproven
// boots starts again. A trial has its own count.
//
// The boot loader counts a try before it boots. So whatever ends a boot of the slot
// on trial (a failed check, a hang that the watchdog ends, a panic, an initramfs
// without a root, a verity error) costs a try. When no tries are left, the boot loader
// boots the good slot; the agent finds the situation Failed and reports why.
//
// A slot on trial that a person chose in the menu runs as passive, and the boot loader
// does not count that boot: the slot is neither proven nor given up.
package settle

import (
	"fmt"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/history"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// FailureFile exists after a fallback, as in Kairos, and gives the reason in one
// sentence.
const FailureFile = layout.RunDir + "/upgrade_failure"

// Boot is the running system.
type Boot struct {
	Slot    layout.Slot
	Mode    layout.Mode
	Version string        // KAIROS_VERSION, or empty
	Tried   string        // version of the slot on trial by its label, or empty
	Ready   time.Duration // from the kernel's start until the system was up
}

// A Situation says what a boot means for the trial of a slot.
type Situation string

// The situations, see the package comment.
const (
	Normal    Situation = "normal"
	OnTrial   Situation = "on trial"
	Failed    Situation = "trial failed"
	Stuck     Situation = "good slot does not come up"
	Elsewhere Situation = "elsewhere"
)

// Judge returns the situation of a boot.
func Judge(s slot.State, b Boot) Situation {
	switch {
	case b.Mode == layout.ModeLive:
		return Normal
	case s.Try != "" && b.Slot == s.Try:
		if b.Mode == layout.ModeActive {
			return OnTrial
		}
		return Elsewhere
	case s.Unproven > slot.MaxUnproven && b.Slot != s.Good:
		return Stuck
	case s.Try != "" && (s.Tries == 0 || b.Mode == layout.ModePassive):
		return Failed
	case b.Slot != s.Good && b.Slot != layout.SlotRecovery:
		return Elsewhere
	}
	return Normal
}

// An Event is a change of the boot loader's state, see package slot.
type Event string

// The events of a plan.
const (
	Nothing  Event = ""
	MarkGood Event = "mark good"
	GiveUp   Event = "give up"
	CameUp   Event = "came up"
)

// Apply returns the state after the event, in a boot of the slot booted. A trial that
// another program has ended in the meantime stays ended.
func (e Event) Apply(s slot.State, booted layout.Slot) slot.State {
	switch {
	case e == MarkGood:
		return s.MarkGood(booted)
	case e == GiveUp && s.Try != booted:
		return s.GiveUp().CameUp()
	case e == CameUp:
		return s.CameUp()
	}
	return s
}

// A Plan is what follows from a boot. Its History has neither times nor boot IDs yet.
type Plan struct {
	Event   Event
	Failure string // for FailureFile, or empty
	Console []string
	History []history.Entry
	Restart bool
}

// Arrive returns the plan for a node that is up, before its health checks. past is the
// boot history, oldest first.
func Arrive(s slot.State, b Boot, past []history.Entry) Plan {
	plan := Plan{History: []history.Entry{b.entry(history.Boot, history.OK, fmt.Sprintf("ready as %s %.1f s after the kernel's start", b.Mode, b.Ready.Seconds()))}}
	situation := Judge(s, b)
	if situation != OnTrial && s.Unproven > 0 {
		plan.Event = CameUp
	}
	switch situation {
	case OnTrial:
		plan.Console = []string{fmt.Sprintf("slot %s is on trial, its health checks begin; boots left: %d", b.Slot, s.Tries)}
	case Failed:
		plan.fallBack(s, b, past)
	case Stuck:
		plan.standIn(s, b, past)
	case Elsewhere:
		plan.Console = []string{fmt.Sprintf("slot %s runs as %s and is not the good one: slot %s did not load, or slot %s was chosen", b.Slot, b.Mode, s.Good, b.Slot)}
	}
	return plan
}

// Conclude returns the plan after the health checks.
func Conclude(s slot.State, b Boot, r health.Result) Plan {
	switch {
	case Judge(s, b) != OnTrial:
		return Plan{}
	case !r.OK:
		return fail(s, b, r.String())
	}
	return Plan{
		Event:   MarkGood,
		Console: []string{fmt.Sprintf("slot %s is good", b.Slot)},
		History: []history.Entry{b.entry(history.Good, history.OK, r.String())},
	}
}

// Overdue returns the plan for a boot whose time is over before Arrive or Conclude
// settled it: some unit hangs. A slot on trial has failed. Any other boot counts as up:
// one that lasts this long is not part of a boot loop.
func Overdue(s slot.State, b Boot, limit time.Duration) Plan {
	switch {
	case Judge(s, b) == OnTrial:
	case s.Unproven > 0:
		return Plan{Event: CameUp, Console: []string{fmt.Sprintf("slot %s runs for %v, and its health checks did not begin: a unit hangs; `systemctl list-jobs` shows which", b.Slot, limit)}}
	default:
		return Plan{}
	}
	return fail(s, b, fmt.Sprintf("it was not good after %v: its health checks did not begin, or did not end", limit))
}

// fail returns the plan for a boot that did not prove the slot.
func fail(s slot.State, b Boot, why string) Plan {
	next := fmt.Sprintf("restarting into slot %s", s.Good)
	if s.Tries > 0 {
		next = fmt.Sprintf("restarting; boots left to slot %s: %d", b.Slot, s.Tries)
	}
	return Plan{
		Console: []string{fmt.Sprintf("slot %s is not good: %s", b.Slot, why), next},
		History: []history.Entry{b.entry(history.TrialFailed, history.Failed, why)},
		Restart: true,
	}
}

// fallBack gives up the trial and says why.
func (p *Plan) fallBack(s slot.State, b Boot, past []history.Entry) {
	trial := lastTrial(past, s.Try)
	trial.version = orElse(trial.version, b.Tried)
	why := trial.why(s, b)
	name := string(s.Try)
	if trial.version != "" {
		name += " (" + trial.version + ")"
	}
	p.Event = GiveUp
	sentence := fmt.Sprintf("the upgrade to slot %s failed: %s", name, why)
	p.Failure = sentence + "\n"
	p.Console = []string{sentence, fmt.Sprintf("slot %s runs again; `kairos-agent status` shows more", b.Slot)}
	failure := history.Entry{Kind: history.Fallback, Slot: s.Try, Version: trial.version, Outcome: history.Failed, Message: why}
	p.History = append([]history.Entry{failure}, p.History...)
}

// standIn says why another slot runs in place of the good one.
func (p *Plan) standIn(s slot.State, b Boot, past []history.Entry) {
	why := orElse(lastWords(past, s.Good), "they ended before the system was up: a panic, a hang, a block of the root that does not fit its hash, or cuts of power")
	sentence := fmt.Sprintf("slot %s, the good one, did not come up in %d boots in a row: %s", s.Good, slot.MaxUnproven, why)
	p.Failure = sentence + "\n"
	p.Console = []string{sentence, fmt.Sprintf("slot %s runs in its place until the next restart; `kairos-agent status` shows more, `kairos-agent upgrade` makes a good slot", b.Slot)}
	failure := history.Entry{Kind: history.Fallback, Slot: s.Good, Outcome: history.Failed, Message: sentence}
	p.History = append([]history.Entry{failure}, p.History...)
}

// lastWords returns the message that the initramfs left when it gave up the last boot
// of x, or "".
func lastWords(past []history.Entry, x layout.Slot) string {
	for _, e := range slices.Backward(past) {
		if e.Slot == x {
			if e.Kind == history.Boot && e.Outcome == history.Failed {
				return e.Message
			}
			return ""
		}
	}
	return ""
}

// trial is what the history knows of the trial of a slot.
type trial struct {
	version string
	reasons []string // of failed boots that left one, oldest first
}

// lastTrial looks back to the event that armed the slot.
func lastTrial(past []history.Entry, x layout.Slot) (t trial) {
	for _, e := range slices.Backward(past) {
		if e.Slot != x {
			continue
		}
		switch e.Kind {
		case history.TrialFailed, history.Boot:
			if e.Outcome == history.Failed {
				t.reasons = append([]string{e.Message}, t.reasons...)
			}
		case history.Upgrade, history.Rollback:
			t.version = orElse(t.version, e.Version)
			return t
		default:
			return t
		}
		t.version = orElse(t.version, e.Version)
	}
	return t
}

// why says why the trial failed, as far as another slot can tell.
func (t trial) why(s slot.State, b Boot) string {
	switch {
	case s.Tries > 0 && b.Mode == layout.ModePassive:
		return "it did not load: kernel, initrd or command line are missing, damaged or refused by Secure Boot, or the boot loader could not count the try"
	case len(t.reasons) > 0:
		return t.reasons[len(t.reasons)-1]
	}
	return "it did not load, or it ended before its health checks: a panic, a hang, no root file system, or a block of the root that does not fit its hash"
}

func (b Boot) entry(kind history.Kind, outcome history.Outcome, message string) history.Entry {
	return history.Entry{Kind: kind, Slot: b.Slot, Version: b.Version, Outcome: outcome, Message: message}
}

func orElse(first, second string) string {
	if first != "" {
		return first
	}
	return second
}
