// SPDX-License-Identifier: Apache-2.0

// Package progress shows a person, or a program, what a build is doing. It
// turns steps into a live view, plain lines, or JSON lines; it does not know
// what the steps do. Everything goes to one writer, stderr: stdout belongs to
// the result.
//
// # Modes
//
//	auto   tty on a terminal, else plain
//	tty    a live view that is redrawn in place
//	plain  a line when a step starts and when it ends, and every 5 seconds while
//	       bytes move; for logs and continuous integration
//	json   one JSON object per line, see below
//	none   silence
//
// # JSON lines
//
// Every line has time (RFC 3339 with nanoseconds, UTC), event, step (the number
// of the step) and name. The events and their other fields:
//
//	start     the step began
//	progress  done, total: bytes; total is absent if it is not known;
//	          at most one a second for each step
//	log       line: one line of the step's output
//	state     line: what the step is doing
//	done      seconds (float), cached (bool); error (string) if it failed
//
// Fields may be added; the meaning of a field never changes.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Modes for New.
const (
	Auto  = "auto"
	TTY   = "tty"
	Plain = "plain"
	JSON  = "json"
	None  = "none"
)

// Modes lists the modes of New, for the help of a flag.
func Modes() []string { return []string{Auto, TTY, Plain, JSON, None} }

// Reporter shows steps. Its methods and those of its steps are safe for concurrent use.
type Reporter interface {
	// Step begins a step.
	Step(name string) Step
	// Close ends the view; steps that are not done are shown as interrupted.
	// It returns the first error of writing.
	Close() error
}

// Step is one thing that a build does.
type Step interface {
	// Progress reports the bytes done, and their total; zero if it is not known.
	Progress(done, total int64)
	// Log takes one line of output.
	Log(line string)
	// State says what the step is doing. A live view shows it until the next
	// state; a log omits it.
	State(text string)
	// Done ends the step. cached means that its result was there already; a nil
	// err means success. Further calls do nothing.
	Done(cached bool, err error)
}

// New returns a reporter that writes to w. isTTY says whether w is a terminal. If w is
// an *os.File, the reporter asks the terminal for its size, else it takes 80 by 24. It
// respects NO_COLOR, TERM and LC_ALL, LC_CTYPE or LANG of the environment.
func New(mode string, w io.Writer, isTTY bool) (Reporter, error) {
	switch Resolve(mode, isTTY) {
	case TTY:
		return newLiveTTY(w, styleOf(os.Getenv), time.Now), nil
	case Plain:
		return newPlain(w, time.Now), nil
	case JSON:
		return newJSON(w, time.Now), nil
	case None:
		return nothing{}, nil
	}
	return nil, fmt.Errorf("progress mode %q: use one of %s", mode, strings.Join(Modes(), ", "))
}

// Resolve returns the mode that New would choose: it replaces Auto and "".
func Resolve(mode string, isTTY bool) string { return resolve(mode, isTTY, os.Getenv) }

func resolve(mode string, isTTY bool, getenv func(string) string) string {
	if mode != Auto && mode != "" {
		return mode
	}
	if isTTY && getenv("TERM") != "dumb" {
		return TTY
	}
	return Plain
}

// nothing is the reporter of mode none.
type nothing struct{}

func (nothing) Step(string) Step      { return nothing{} }
func (nothing) Close() error          { return nil }
func (nothing) Progress(int64, int64) {}
func (nothing) Log(string)            {}
func (nothing) State(string)          {}
func (nothing) Done(bool, error)      {}
