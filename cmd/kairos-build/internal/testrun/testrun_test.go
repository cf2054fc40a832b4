// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// clock is a clock that tests advance by hand.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time    { return c.t }
func (c *clock) advance(s float64) { c.t = c.t.Add(time.Duration(s * float64(time.Second))) }

func passed(machine, title string) lab.Result {
	return lab.Result{Machine: machine, Title: title, Status: lab.Pass}
}

// story is a test of four machines, two at a time. One fails, one was tested before.
func story(r acceptance.Observer, c *clock) {
	r.Begin(acceptance.Plan{Machines: []string{"upgrade", "bios", "damaged", "uefi"}, Jobs: 2, Accelerator: "tcg"})
	r.Checked(passed("image", "every block of the root matches its hash"))
	r.Ended("uefi")
	r.Started("upgrade")
	r.Started("bios")
	c.advance(40)
	r.Checked(passed("bios", "says that it is ready"))
	r.Note("upgrade", "the emulated kernel crashed: the machine begins again")
	c.advance(10)
	r.Checked(lab.Result{Machine: "bios", Title: "a write to /usr fails", Status: lab.Fail, Message: "it succeeded\nand more"})
	c.advance(10)
	r.Ended("bios")
	r.Started("damaged")
	c.advance(30)
	r.Checked(passed("damaged", "a flipped byte is noticed"))
	r.Ended("damaged")
	c.advance(200)
	r.Checked(passed("upgrade", "says that it is ready"))
	r.Ended("upgrade")
}

func TestLines(t *testing.T) {
	c, out := newClock(), &bytes.Buffer{}
	r := newRun(&lines{w: out}, Durations{"tcg": {"upgrade": 240, "damaged": 30}, "kvm": {"bios": 1}}, c.now)
	story(r, c)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/lines.txt", out.String())
	want := Durations{"tcg": {"upgrade": 290, "damaged": 30}, "kvm": {"bios": 1}}
	if diff := cmp.Diff(want, r.Durations()); diff != "" {
		t.Errorf("a machine that failed must not count (-want +got)\n%s", diff)
	}
}

// TestModes: each mode except "none" shows the failure; "none" is silent.
func TestModes(t *testing.T) {
	for mode, want := range map[string]string{"plain": "it succeeded", "tty": "it succeeded", "json": "it succeeded", "none": ""} {
		var out bytes.Buffer
		r, err := New(mode, "test out/x", &out, false, Durations{})
		if err != nil {
			t.Fatal(err)
		}
		story(r, newClock())
		if err := r.Close(); err != nil || !strings.Contains(out.String(), want) || want == "" && out.Len() > 0 {
			t.Errorf("%s: %v, %q", mode, err, out.String())
		}
	}
	if _, err := New("loud", "", &bytes.Buffer{}, false, nil); err == nil {
		t.Error("no error for an unknown mode")
	}
}

// TestInterrupted: a view that is closed early shows the machines that ran.
func TestInterrupted(t *testing.T) {
	var out bytes.Buffer
	r, err := New("tty", "test out/x", &out, false, Durations{})
	if err != nil {
		t.Fatal(err)
	}
	r.Begin(acceptance.Plan{Machines: []string{"bios"}, Jobs: 1})
	r.Started("bios")
	if err := r.Close(); err != nil || strings.Count(out.String(), "interrupted") != 2 {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestEstimate(t *testing.T) {
	start := newClock().t
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name  string
		jobs  int
		past  map[string]float64
		began map[string]time.Time
		took  map[string]time.Duration
		now   int
		want  time.Duration
		known bool
	}{
		{"nothing is known", 2, nil, map[string]time.Time{"a": start}, nil, 50, 0, false},
		{"one after the other", 1, map[string]float64{"a": 10, "b": 20, "c": 30}, nil, nil, 0, 60 * time.Second, true},
		{"two at a time", 2, map[string]float64{"a": 10, "b": 20, "c": 30}, map[string]time.Time{"a": start, "b": start}, nil, 5, 35 * time.Second, true},
		{"one is missing", 2, map[string]float64{"a": 10, "b": 20}, map[string]time.Time{"a": start, "b": start}, nil, 5, 0, false},
		{"one is missing, and another ended", 1, map[string]float64{"a": 10, "b": 20}, map[string]time.Time{"a": start, "b": at(10)}, map[string]time.Duration{"a": 10 * time.Second}, 10, 30 * time.Second, true},
		{"a slower computer", 1, map[string]float64{"a": 10, "b": 20, "c": 30}, nil, map[string]time.Duration{"a": 20 * time.Second}, 20, 100 * time.Second, true},
		{"longer than before", 3, map[string]float64{"a": 10, "b": 10, "c": 10}, map[string]time.Time{"a": start, "b": start, "c": start}, nil, 50, 0, true},
		{"all have ended", 1, nil, nil, map[string]time.Duration{"a": 1, "b": 1, "c": 1}, 9, 0, true},
	} {
		ended := map[string]bool{}
		for machine := range c.took {
			ended[machine] = true
		}
		e := estimate{plan: acceptance.Plan{Machines: []string{"a", "b", "c"}, Jobs: c.jobs}, began: c.began, ended: ended, took: c.took, past: c.past, now: at(c.now)}
		if got, known := e.left(); got != c.want || known != c.known {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, known, c.want, c.known)
		}
	}
}

func TestDurationsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "d.json")
	if got := Load(path); len(got) != 0 {
		t.Errorf("without a file: %v", got)
	}
	want := Durations{"kvm": {"bios": 1.5}}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, Load(path)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := Load(path); got == nil || len(got) != 0 {
		t.Errorf("with a damaged file: %v", got)
	}
}
