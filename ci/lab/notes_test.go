// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// noted lists a machine's checks with their statuses, in order.
func noted(m *Machine) string {
	var words []string
	for _, r := range m.Results() {
		words = append(words, r.Name+" "+string(r.Status))
	}
	return strings.Join(words, ", ")
}

var errWrong = errors.New("wrong")

// TestNotes: a failure stays, half a check proves nothing, and no check is no pass.
func TestNotes(t *testing.T) {
	for _, tt := range []struct {
		name           string
		do             func(*Machine)
		want           string
		passed, failed bool
	}{
		{"nothing", func(*Machine) {}, "", false, false},
		{"a pass", func(m *Machine) { m.Record("x", "", 0, "", nil) }, "x pass", true, false},
		{"a failure", func(m *Machine) { m.Record("x", "", 0, "", errWrong) }, "x fail", false, true},
		{"a pass after a failure", func(m *Machine) { m.Record("x", "", 0, "", errWrong); m.Record("x", "", 0, "", nil) }, "x fail", false, true},
		{"a failure after a pass", func(m *Machine) { m.Record("x", "", 0, "", nil); m.Record("x", "", 0, "", errWrong) }, "x fail", false, true},
		{"one of two", func(m *Machine) { m.Record("x", "", 0, "", nil); m.Record("y", "", 0, "", errWrong) }, "x pass, y fail", false, true},
		{"a skip", func(m *Machine) { m.Record("x", "", 0, "", nil); m.Skip("y", "", "why") }, "x pass, y skip", false, false},
		{"a skip does not hide", func(m *Machine) { m.Record("x", "", 0, "", errWrong); m.Skip("x", "", "why") }, "x fail", false, true},
		{"half a check", func(m *Machine) { m.Record("x", "", 0, "", nil); m.SkipRest("x", "", "why") }, "x skip", false, false},
		{"half a check that failed", func(m *Machine) { m.Record("x", "", 0, "", errWrong); m.SkipRest("x", "", "why") }, "x fail", false, true},
		{"half a check that never began", func(m *Machine) { m.SkipRest("x", "", "why") }, "x skip", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(Lab).Machine("bios", "bios", 0)
			tt.do(m)
			if got := noted(m); got != tt.want || m.Passed() != tt.passed || m.Failed() != tt.failed {
				t.Errorf("got %q, passed %v, failed %v", got, m.Passed(), m.Failed())
			}
		})
	}
}

// TestFirstFailureStays: the report has the words of the first failure.
func TestFirstFailureStays(t *testing.T) {
	m := new(Lab).Machine("bios", "bios", 0)
	m.Record("x", "", 0, "", errWrong)
	m.Record("x", "", 0, "all is well", nil)
	m.Record("x", "", 0, "", errors.New("another"))
	if got := m.Results()[0].Message; !strings.HasPrefix(got, "wrong\n") {
		t.Errorf("got %q", got)
	}
}

// TestInterrupted: what an interruption ends did not fail, and proves nothing.
func TestInterrupted(t *testing.T) {
	stopped := false
	m := (&Lab{stopped: func() bool { return stopped }}).Machine("bios", "bios", 0)
	m.Record("before", "", 0, "", errWrong)
	m.Record("half", "", 0, "", nil)
	stopped = true
	m.Record("before", "", 0, "", context.Canceled)
	m.Record("half", "", 0, "", errWrong)
	m.Record("half", "", 0, "", nil)
	m.Record("made", "", 0, "", nil)
	m.Record("new", "", 0, "", errWrong)
	if got, want := noted(m), "before fail, half skip, made pass, new skip"; got != want || m.Passed() {
		t.Errorf("got %q, passed %v, want %q", got, m.Passed(), want)
	}
}

// TestTell: which chapters run after one that failed.
func TestTell(t *testing.T) {
	for _, tt := range []struct {
		name        string
		independent bool
		fails, want string
	}{
		{"all", false, "", "a pass, b pass, c pass"},
		{"the second fails", false, "b", "a pass, b fail, c skip"},
		{"the second of independent ones fails", true, "b", "a pass, b fail, c pass"},
		{"the first of independent ones fails", true, "a", "a fail, b skip, c skip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			l := &Lab{Options: Options{Dir: "out", Checked: func(r Result) { told = append(told, r.Name+" "+string(r.Status)) }}}
			m := l.Machine("upgrade", "bios", 0)
			var chapters []Chapter
			for _, name := range []string{"a", "b", "c"} {
				chapters = append(chapters, Chapter{Name: name, Do: func(context.Context) (string, error) {
					if name == tt.fails {
						return "", errWrong
					}
					return "", nil
				}})
			}
			m.Tell(t.Context(), tt.independent, chapters)
			if diff := cmp.Diff(tt.want, noted(m)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if all := strings.Join(told, ", "); !strings.HasPrefix(tt.want, all) {
				t.Errorf("%q was told, of %q", all, tt.want)
			}
			if tt.fails != "" && !strings.Contains(m.results[tt.fails].Message, "console log: out/test-logs/upgrade.log") {
				t.Errorf("a failure does not name its log: %q", m.results[tt.fails].Message)
			}
		})
	}
}
