// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

// New shows a run on w, which is stderr, in one of the modes of package progress. name
// is the name of the whole test.
func New(mode, name string, w io.Writer, isTTY bool, past Durations) (*Run, error) {
	mode = progress.Resolve(mode, isTTY)
	if mode == progress.Plain {
		return newRun(&lines{w: w}, past, time.Now), nil //nolint:forbidigo // how long machines take
	}
	reporter, err := progress.New(mode, w, isTTY)
	if err != nil {
		return nil, err
	}
	r := newRun(&steps{reporter: reporter, name: name, open: map[string]progress.Step{}}, past, time.Now) //nolint:forbidigo // how long machines take
	if mode == progress.TTY {
		r.stop = make(chan struct{})
		go r.tick()
	}
	return r, nil
}

// steps shows each machine as a step, below a step for the whole test.
type steps struct {
	reporter progress.Reporter
	name     string
	whole    progress.Step
	open     map[string]progress.Step
	failed   int
}

func (s *steps) begin(int) { s.whole = s.reporter.Step(s.name) }

func (s *steps) started(machine string) {
	s.open[machine] = s.reporter.Step(acceptance.Title(machine))
}

// checked shows the last check of a machine on its line. A failed check also gets a line
// that stays on the screen.
func (s *steps) checked(res lab.Result, summary string) {
	if step := s.open[res.Machine]; step != nil {
		step.State(mark(res.Status) + res.Title)
	}
	if res.Status == lab.Fail {
		s.failed++
		failed := s.reporter.Step(acceptance.Title(res.Machine) + ": " + res.Title)
		failed.Log(why(res))
		failed.Done(false, errors.New("failed"))
	}
	s.tick(summary)
}

func (s *steps) note(machine, text string) {
	if step := s.open[machine]; step != nil {
		step.State(text)
	}
}

func (s *steps) ended(machine string, checks, failed int, _ time.Duration, summary string) {
	var err error
	if failed > 0 {
		err = fmt.Errorf("%d of %s failed", failed, plural(checks, "check"))
	}
	if step := s.open[machine]; step != nil {
		step.Done(false, err)
		delete(s.open, machine)
	} else {
		s.reporter.Step(acceptance.Title(machine)).Done(true, err) // in an earlier run
	}
	s.tick(summary)
}

func (s *steps) tick(summary string) {
	if s.whole != nil {
		s.whole.State(summary)
	}
}

func (s *steps) close() error {
	if s.whole != nil && len(s.open) == 0 {
		var err error
		if s.failed > 0 {
			err = fmt.Errorf("%s failed", plural(s.failed, "check"))
		}
		s.whole.Done(false, err)
	}
	return s.reporter.Close()
}

// lines are for logs: a line for each check, and the state of the test when a machine
// ends.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) print(format string, args ...any) {
	_, err := fmt.Fprintf(l.w, format+"\n", args...)
	l.err = errors.Join(l.err, err)
}

func (l *lines) begin(machines int)     { l.print("%s", plural(machines, "machine")) }
func (l *lines) started(machine string) { l.print("%s: begins", acceptance.Title(machine)) }
func (l *lines) tick(string)            {}
func (l *lines) close() error           { return l.err }

func (l *lines) note(machine, text string) { l.print("%s: %s", acceptance.Title(machine), text) }

func (l *lines) checked(res lab.Result, _ string) {
	line := fmt.Sprintf("%s: %s: %s", acceptance.Title(res.Machine), res.Title, res.Status)
	if res.Status == lab.Fail {
		line += ": " + why(res)
	}
	l.print("%s", line)
}

func (l *lines) ended(machine string, checks, failed int, took time.Duration, summary string) {
	if took == 0 {
		l.print("%s: tested in a run before", acceptance.Title(machine))
		return
	}
	l.print("%s: ended after %.0f s, %s, %d failed; %s", acceptance.Title(machine), took.Seconds(), plural(checks, "check"), failed, summary)
}

// why is the first line of the message of a check.
func why(res lab.Result) string {
	line, _, _ := strings.Cut(res.Message, "\n")
	return line
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func mark(s lab.Status) string {
	switch s {
	case lab.Fail:
		return "FAILED: "
	case lab.Skip:
		return "skipped: "
	}
	return ""
}
