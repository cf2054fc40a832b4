// SPDX-License-Identifier: Apache-2.0

// Package stages runs the steps of a stage of a cloud-config. It plans (order,
// conditions, templates), runs and reports steps; it decodes nothing, and does not
// decide when a stage runs.
//
// A step is skipped if a condition is not met. Each item of a step has its own
// outcome. A failed item, such as one with a template that cannot be filled in,
// does not stop the others.
// A step runs after the step before it, or after the steps in its "after"; steps
// that do not wait for each other run in parallel. A step is skipped if a step in
// its "after" failed.
//
// The second run of a stage changes nothing, except through its commands.
package stages

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/partitions"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// A System runs programs on the node.
type System interface {
	// Run runs a program and returns its output, also with an error.
	Run(ctx context.Context, words ...string) (output string, err error)
}

// A Fetcher fetches the content of a URL.
type Fetcher interface {
	// Fetch calls use with the content. It retries after a temporary failure.
	Fetch(ctx context.Context, url string, use func(content Content) error) error
}

// Engine runs stages on one machine.
type Engine struct {
	// Root is the root of the files. With Root.Dry nothing changes and no
	// program runs: it collects the changes.
	Root  tree.Root
	Log   *slog.Logger
	Facts func() template.Facts // called before each step
	// Machine makes the apply.Machine for users, files and host names. It has Root.
	Machine func() *apply.Machine
	System  System
	Fetcher Fetcher
	// Disks are the disks of the node; nil: the key layout fails.
	Disks partitions.Disks
	// Image opens an OCI image, if it may be unpacked; a remark, if there is one, comes
	// into the report. nil: framework/source opens it, and every image may.
	Image func(ctx context.Context, u config.UnpackImage) (image v1.Image, remark string, err error)
	// UnitState replaces `systemctl ASK UNIT` in a dry run, with ASK is-enabled
	// or is-active; nil: the state is unknown, so every unit would change.
	UnitState func(ask, unit string) string
	// Early starts units without waiting for them: while the node starts, they
	// may wait for this stage.
	Early bool
	// Offline is true while systemd does not run at all: units can then be
	// enabled, disabled and masked, but not started.
	Offline bool
	// Datasource fetches user data and stores it; nil: the key datasource fails.
	Datasource func(ctx context.Context, d config.Datasource) (stored string, changed bool, err error)

	files  sync.Mutex // held while a step changes files
	images sync.Mutex // held while a step unpacks images: two may share a target
}

// Dry tells whether this is a dry run.
func (e *Engine) Dry() bool { return e.Root.Dry != nil }

// Run runs the steps of a plan. It returns when every step has ended, or did not
// begin because ctx ended.
func (e *Engine) Run(ctx context.Context, p Plan) StageReport {
	start := time.Now() //nolint:forbidigo // a report says when it was, and how long it took
	out := StageReport{Stage: p.Stage, Start: start.UTC().Truncate(time.Second), Steps: make([]StepReport, len(p.Steps))}
	over := make([]chan struct{}, len(p.Steps))
	for i := range over {
		over[i] = make(chan struct{})
	}
	var all sync.WaitGroup
	for i := range p.Steps {
		all.Go(func() {
			defer close(over[i])
			if p.Steps[i].Err == nil {
				for _, before := range p.Steps[i].Waits {
					<-over[before]
				}
			}
			out.Steps[i] = e.planned(ctx, p, i, out.Steps)
		})
	}
	all.Wait()
	out.Milliseconds = milliseconds(start)
	return out
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

// planned runs step i; before has the reports of the steps that it waits for.
func (e *Engine) planned(ctx context.Context, p Plan, i int, before []StepReport) StepReport {
	start := time.Now() //nolint:forbidigo // a report says when it was, and how long it took
	s := p.Steps[i]
	r := StepReport{Name: s.Title(), Origin: s.Step.Origin.String(), Items: []report.Item{}, Later: s.Step.Later}
	switch {
	case s.Err != nil: // it has not waited, so before is not ready
		r.Outcome, r.Message = Failed, s.Err.Error()
	case s.lost(before) >= 0:
		r.Outcome, r.lost = Skipped, true
		r.Message = fmt.Sprintf("it comes after %s, which failed", p.Steps[s.lost(before)].Title())
	case ctx.Err() != nil:
		r.Outcome, r.Message = Failed, "it did not begin: "+context.Cause(ctx).Error()
	default:
		e.step(ctx, s.Step, &r)
	}
	r.Milliseconds = milliseconds(start)
	e.log(p.Stage, r)
	return r
}

// lost returns a step in Strict that failed, or that was skipped because of a
// failure; or -1.
func (s Planned) lost(before []StepReport) int {
	for _, n := range s.Strict {
		if before[n].Outcome == Failed || before[n].lost {
			return n
		}
	}
	return -1
}

func (e *Engine) log(stage string, r StepReport) {
	level := slog.LevelInfo
	if r.Outcome == Failed {
		level = slog.LevelError
	}
	text := fmt.Sprintf("stage %s, step %s: %s", stage, r.Name, r.Outcome)
	if r.Message != "" {
		text += ": " + r.Message
	}
	e.Log.Log(context.Background(), level, text, "milliseconds", r.Milliseconds)
}

// step checks the conditions, fills in the templates and does the work of s.
func (e *Engine) step(ctx context.Context, s config.Step, r *StepReport) {
	facts := e.Facts()
	if why := Unmet(e.Root, facts, withNode(s, facts)); why != "" {
		r.Outcome, r.Message = Skipped, why
		return
	}
	rendered, lost := Render(s, facts)
	if i := slices.IndexFunc(lost, func(l Lost) bool { return l.Condition }); i >= 0 {
		r.Outcome, r.Message = Failed, fmt.Sprintf("whether it is to be done is not known: %v", lost[i])
		return
	}
	if why := e.refused(ctx, rendered); why != "" {
		r.Outcome, r.Message = Skipped, why
		return
	}
	w := &work{Engine: e, step: rendered, report: r}
	for _, l := range lost {
		w.item(templateKind, l.Path, false, l.Err, l.Origin)
	}
	w.do(ctx)
	r.Outcome = OutcomeOf(r.Items)
	r.Output = tail(r.Output)
}

// withNode fills in the template of "node", so that a step for another node is
// skipped even if its other templates fail. Render reports a failure of "node".
func withNode(s config.Step, facts template.Facts) config.Step {
	if text, err := template.Render(s.Node.Text, facts); err == nil {
		s.Node.Text = text
	} else {
		s.Node = config.Text{}
	}
	return s
}

// OutcomeOf returns the outcome of a step with these items.
func OutcomeOf(items []report.Item) Outcome {
	has := func(outcomes ...report.Outcome) bool {
		return slices.ContainsFunc(items, func(i report.Item) bool { return slices.Contains(outcomes, i.Outcome) })
	}
	switch {
	case has(report.Failed):
		return Failed
	case has(report.Asked): // the result is unknown
		return Ran
	case has(report.Created, report.Changed):
		return Changed
	case has(report.Ran):
		return Ran
	}
	return Unchanged
}
