// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	plainInterval = 5 * time.Second // between two lines about bytes
	keepLines     = 20              // of output, for a failure
)

// plain writes lines for a log. The first column is the time since the start.
type plain struct {
	now   func() time.Time
	start time.Time

	mu   sync.Mutex
	w    io.Writer
	open []*plainStep
	err  error
}

func newPlain(w io.Writer, now func() time.Time) *plain {
	return &plain{w: w, now: now, start: now()}
}

type plainStep struct {
	p     *plain
	name  string
	start time.Time
	last  time.Time // of a line about bytes
	meter meter
	tail  []string
	done  bool
}

// Step writes the start of a step.
func (p *plain) Step(name string) Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	s := &plainStep{p: p, name: clean(name), start: now, last: now}
	p.open = append(p.open, s)
	p.line("start   %s", s.name)
	return s
}

// Close writes the steps that were interrupted.
func (p *plain) Close() error {
	for _, s := range p.unfinished() {
		s.Done(false, ErrInterrupted)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *plain) unfinished() []*plainStep {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*plainStep(nil), p.open...)
}

// line writes one line; the caller holds mu.
func (p *plain) line(format string, args ...any) {
	at := fmt.Sprintf("[%7.1fs] ", p.now().Sub(p.start).Seconds())
	_, err := io.WriteString(p.w, at+fmt.Sprintf(format, args...)+"\n")
	p.err = errors.Join(p.err, err)
}

func (s *plainStep) Progress(done, total int64) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	now := s.p.now()
	s.meter.set(done, total, now)
	if s.done || now.Sub(s.last) < plainInterval {
		return
	}
	s.last = now
	s.p.line("        %s: %s", s.name, amount(done, total, s.meter.rate()))
}

func (s *plainStep) Log(line string) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.tail = appendTail(s.tail, clean(line), keepLines)
}

// State does nothing: states are for live views.
func (s *plainStep) State(string) {}

func (s *plainStep) Done(cached bool, err error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	s.p.open = without(s.p.open, s)
	took := seconds(s.p.now().Sub(s.start))
	switch {
	case errors.Is(err, ErrInterrupted):
		s.p.line("stopped %s %s", s.name, took)
	case err != nil:
		s.p.line("failed  %s %s: %s", s.name, took, firstLine(err))
		for _, line := range s.tail {
			s.p.line("        | %s", line)
		}
	case cached:
		s.p.line("cached  %s", s.name)
	default:
		s.p.line("done    %s %s%s", s.name, took, moved(s.meter.done))
	}
}

// moved is the end of a line about a step that moved bytes.
func moved(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return ", " + size(bytes)
}

func appendTail(tail []string, line string, limit int) []string {
	tail = append(tail, line)
	return tail[max(0, len(tail)-limit):]
}

func without[T comparable](list []T, gone T) []T {
	var kept []T
	for _, v := range list {
		if v != gone {
			kept = append(kept, v)
		}
	}
	return kept
}
