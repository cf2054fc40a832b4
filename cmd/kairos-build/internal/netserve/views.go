// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// Steps shows each transfer as a step of a reporter: a live line with bytes on a terminal,
// plain lines elsewhere. What happens only once is a step that is done at once.
type Steps struct {
	to   progress.Reporter
	open map[int64]progress.Step // by transfer
}

// NewSteps shows events on a reporter.
func NewSteps(to progress.Reporter) *Steps { return &Steps{to: to, open: map[int64]progress.Step{}} }

// Event implements Observer.
func (s *Steps) Event(e Event) {
	switch e.Kind {
	case Fetch:
		s.open[e.Transfer] = s.to.Step(e.Machine + ": " + e.File)
	case Moves:
		s.on(e, func(step progress.Step) { step.Progress(e.Done, e.Total) })
	case Fetched, Broken:
		s.on(e, func(step progress.Step) {
			step.Progress(e.Done, e.Total)
			step.Done(false, problem(e))
			delete(s.open, e.Transfer)
		})
	default:
		s.to.Step(words(e)).Done(false, problem(e))
	}
}

func (s *Steps) on(e Event, do func(progress.Step)) {
	if step := s.open[e.Transfer]; step != nil {
		do(step)
	}
}

func problem(e Event) error {
	if e.Kind == Broken || e.Kind == Refused {
		return errors.New(e.Text)
	}
	return nil
}

// words are an event as one line.
func words(e Event) string {
	switch e.Kind {
	case Asks:
		return fmt.Sprintf("%s: %s, is told to load %s", e.Machine, e.Text, e.File)
	case Refused:
		return e.Machine + ": is not served"
	case Boots:
		return e.Machine + ": has everything, and boots"
	}
	if e.Kind == Serving {
		return "serving at " + e.Text + "; Ctrl-C ends it"
	}
	return "WARNING: " + e.Text
}

// Lines writes events as JSON, one object a line, with the time (RFC 3339, UTC).
type Lines struct {
	out *json.Encoder
	now func() time.Time
	err error
}

// NewLines writes events to w.
func NewLines(w io.Writer, now func() time.Time) *Lines {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return &Lines{out: out, now: now}
}

// Event implements Observer.
func (l *Lines) Event(e Event) {
	err := l.out.Encode(struct {
		Time time.Time `json:"time"`
		Event
	}{l.now().UTC(), e})
	l.err = errors.Join(l.err, err)
}

// Err is the first trouble of writing.
func (l *Lines) Err() error { return l.err }
