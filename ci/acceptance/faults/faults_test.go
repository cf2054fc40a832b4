// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const (
	reason = "cat " + layout.RunDir + "/upgrade_failure"
	status = "kairos-agent status --json"
)

// TestExplained: the node must give the reason and the condition of slot b.
func TestExplained(t *testing.T) {
	broken := Fault{Why: silent}
	rotten := Fault{Stay: true, Why: notUp}
	said := labtest.Says("slot b: " + silent + "\nmore\n")
	tests := []struct {
		name  string
		fault Fault
		node  labtest.Node
		want  string
	}{
		{"says why", broken, labtest.Node{reason: said, status: labtest.Slots(slot.Good, slot.Bad)}, ""},
		{"says something else", broken, labtest.Node{reason: labtest.Says("checks failed"), status: labtest.Slots(slot.Good, slot.Bad)}, `it says "checks failed"`},
		{"says nothing", broken, labtest.Node{status: labtest.Slots(slot.Good, slot.Bad)}, "No such file"},
		{"slot b is good", broken, labtest.Node{reason: said, status: labtest.Slots(slot.Good, slot.Good)}, "slot b must be bad"},
		{"slot b is on trial", broken, labtest.Node{reason: said, status: labtest.Slots(slot.Good, slot.Trying)}, "slot b must be bad"},
		{"slot a rotted", rotten, labtest.Node{reason: labtest.Says("slot a " + notUp), status: labtest.Slots(slot.Good, slot.Old)}, ""},
		{"slot a rotted, slot b is bad", rotten, labtest.Node{reason: labtest.Says("slot a " + notUp), status: labtest.Slots(slot.Good, slot.Bad)}, "slot b must be old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // explained waits for minutes
				_, err := tt.fault.explained(t.Context(), &lab.Machine{Guest: &lab.Guest{Runner: tt.node}})
				labtest.Expect(t, err, tt.want)
			})
		})
	}
}

// TestBackLine: backLine matches exactly one slot and mode.
func TestBackLine(t *testing.T) {
	for _, f := range All() {
		for _, x := range []layout.Slot{layout.SlotA, layout.SlotB, layout.SlotRecovery} {
			for _, m := range []layout.Mode{layout.ModeActive, layout.ModePassive, layout.ModeRecovery} {
				line := fmt.Sprintf("kairos: ready slot=%s mode=%s version=v1", x, m)
				if got, want := f.backLine().MatchString(line), f.end() == (slot.Choice{Slot: x, Mode: m}); got != want {
					t.Errorf("%s: %q is taken: %v, want %v", f.Name, line, got, want)
				}
			}
		}
	}
}

func TestSpoken(t *testing.T) {
	console := labtest.Console{"kairos: slot b cannot be loaded"}
	if m, err := spoken(console, `slot b cannot`); err != nil || m.Text != console[0] {
		t.Errorf("got %q, %v", m.Text, err)
	}
	if _, err := spoken(console, `slot a cannot`); !errors.Is(err, errNoWords) {
		t.Errorf("got %v, want that the words are missing", err)
	}
}

// TestTable: each fault has an effect, a reason, and words that a healthy boot does not
// print.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		if seen[f.Name] || f.Title == "" || f.Why == "" || f.Words == "" {
			t.Errorf("%q is there twice, or says nothing", f.Name)
		}
		seen[f.Name] = true
		if (f.Damage == nil) == (f.Config == "") {
			t.Errorf("%s must have a damage or a config", f.Name)
		}
		if regexp.MustCompile(f.Words).MatchString("kairos: ready slot=a mode=active version=v1") {
			t.Errorf("%s: a healthy boot says %q, too", f.Name, f.Words)
		}
		if want := map[bool]slot.Condition{true: slot.Old, false: slot.Bad}[f.Stay]; f.ends() != want {
			t.Errorf("%s: slot b is %s in the end, want %s", f.Name, f.ends(), want)
		}
	}
}
