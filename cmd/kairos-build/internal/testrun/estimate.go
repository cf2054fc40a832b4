// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Durations are the seconds that machines took when they passed, on this computer, by
// accelerator and machine.
type Durations map[string]map[string]float64

// Load reads the file of Save. An unreadable file counts as empty: then only the
// remaining time is unknown.
func Load(path string) Durations {
	var d Durations
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &d) != nil {
		return Durations{}
	}
	return d
}

// Save writes the durations to a file, all or nothing.
func (d Durations) Save(path string) error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteCache(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("keeping the durations of the test: %w", err)
	}
	return nil
}

func (d Durations) clone() Durations {
	out := Durations{}
	for accelerator, machines := range d {
		out[accelerator] = maps.Clone(machines)
	}
	return out
}

func (d Durations) set(accelerator, machine string, took time.Duration) {
	if d[accelerator] == nil {
		d[accelerator] = map[string]float64{}
	}
	d[accelerator][machine] = float64(took.Milliseconds()) / 1000
}

// An estimate predicts the end of a test from the earlier durations of its machines. For
// a machine that never ran here, it takes the mean of the machines that have ended in
// this run; while there is none, the end is unknown.
type estimate struct {
	plan  acceptance.Plan
	began map[string]time.Time
	ended map[string]bool
	took  map[string]time.Duration // of machines that started and ended in this run
	past  map[string]float64
	now   time.Time
}

// left is the time until the last machine ends, if each waiting machine takes the next
// free place.
func (e estimate) left() (time.Duration, bool) {
	var places []time.Duration // when each is free
	var waiting []time.Duration
	for _, machine := range e.plan.Machines {
		if e.ended[machine] {
			continue
		}
		whole, known := e.expected(machine)
		if !known {
			return 0, false
		}
		if began, runs := e.began[machine]; runs {
			places = append(places, max(0, whole-e.now.Sub(began)))
		} else {
			waiting = append(waiting, whole)
		}
	}
	for len(places) < max(1, e.plan.Jobs) {
		places = append(places, 0)
	}
	for _, whole := range waiting {
		first := slices.Index(places, slices.Min(places))
		places[first] += whole
	}
	return slices.Max(places), true
}

// expected is the duration of a machine at the speed of this run.
func (e estimate) expected(machine string) (time.Duration, bool) {
	if before, ok := e.past[machine]; ok {
		return time.Duration(before * e.slower() * float64(time.Second)), true
	}
	if len(e.took) == 0 {
		return 0, false
	}
	var sum time.Duration
	for _, took := range e.took {
		sum += took
	}
	return sum / time.Duration(len(e.took)), true
}

// slower is the ratio of the durations in this run to the earlier ones, over the
// machines that ended: 2 is twice the time. Without such machines it is 1.
func (e estimate) slower() float64 {
	var now, before float64
	for machine, took := range e.took {
		if past := e.past[machine]; past > 0 {
			now, before = now+took.Seconds(), before+past
		}
	}
	if before == 0 {
		return 1
	}
	return now / before
}
