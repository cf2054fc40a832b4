// SPDX-License-Identifier: Apache-2.0

// Package testrun shows a person the progress of a test of a disk: one line for each
// machine, the failures, and the remaining time. It decides nothing.
package testrun

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// A view shows events. summary is the state of the whole test.
type view interface {
	begin(machines int)
	started(machine string)
	checked(res lab.Result, summary string)
	note(machine, text string)
	ended(machine string, checks, failed int, took time.Duration, summary string)
	tick(summary string)
	close() error
}

// A Run is the state of a running test. It is an acceptance.Observer.
type Run struct {
	view view
	now  func() time.Time
	past Durations
	stop chan struct{} // ends tick; nil if tick does not run

	mu     sync.Mutex
	plan   acceptance.Plan
	began  map[string]time.Time
	ended  map[string]bool
	took   map[string]time.Duration // of machines that started in this run and ended
	checks map[string]int
	failed map[string]int
}

func newRun(v view, past Durations, now func() time.Time) *Run {
	return &Run{view: v, past: past, now: now, began: map[string]time.Time{}, ended: map[string]bool{}, took: map[string]time.Duration{}, checks: map[string]int{}, failed: map[string]int{}}
}

// Begin implements acceptance.Observer, as do the methods down to Ended.
func (r *Run) Begin(p acceptance.Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = p
	r.view.begin(len(p.Machines))
}

// Started records the start of a machine.
func (r *Run) Started(machine string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began[machine] = r.now()
	r.view.started(machine)
}

// Checked counts a check.
func (r *Run) Checked(res lab.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks[res.Machine]++
	if res.Status == lab.Fail {
		r.failed[res.Machine]++
	}
	r.view.checked(res, r.summary())
}

// Note passes a note to the view.
func (r *Run) Note(machine, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view.note(machine, text)
}

// Ended records the end of a machine and its duration.
func (r *Run) Ended(machine string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[machine] = true
	if began, ok := r.began[machine]; ok {
		r.took[machine] = r.now().Sub(began)
	}
	r.view.ended(machine, r.checks[machine], r.failed[machine], r.took[machine], r.summary())
}

// Close ends the view.
func (r *Run) Close() error {
	if r.stop != nil {
		close(r.stop)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view.close()
}

// Durations are those of earlier runs, updated with the machines of this run that passed
// all of their checks.
func (r *Run) Durations() Durations {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.past.clone()
	for machine, took := range r.took {
		if r.failed[machine] == 0 && r.checks[machine] > 0 {
			all.set(r.plan.Accelerator, machine, took)
		}
	}
	return all
}

// tick shows the remaining time every second.
func (r *Run) tick() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			r.mu.Lock()
			r.view.tick(r.summary())
			r.mu.Unlock()
		}
	}
}

// summary is the state of the whole test; the caller holds mu.
func (r *Run) summary() string {
	checks, failed := 0, 0
	for machine, n := range r.checks {
		checks += n
		failed += r.failed[machine]
	}
	var words []string
	if text := r.leftWords(); text != "" {
		words = append(words, text)
	}
	if failed > 0 {
		words = append(words, fmt.Sprintf("%d FAILED", failed))
	}
	words = append(words, fmt.Sprintf("%d of %d machines", len(r.ended), len(r.plan.Machines)), plural(checks, "check"))
	return strings.Join(words, ", ")
}

// leftWords tell the remaining time, if it is known; the caller holds mu.
func (r *Run) leftWords() string {
	e := estimate{plan: r.plan, began: r.began, ended: r.ended, took: r.took, past: r.past[r.plan.Accelerator], now: r.now()}
	left, known := e.left()
	switch {
	case len(r.ended) == len(r.plan.Machines):
		return ""
	case !known:
		return "time left: not known yet"
	case left <= 0:
		return "it takes longer than before"
	case left < time.Minute:
		return "less than a minute left"
	}
	return fmt.Sprintf("about %d min left", int(left.Round(time.Minute)/time.Minute))
}
