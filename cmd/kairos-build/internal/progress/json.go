// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"
)

const jsonInterval = time.Second // between two events about bytes

// event is one line; the package comment describes the fields.
type event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Step    int       `json:"step"`
	Name    string    `json:"name"`
	Done    *int64    `json:"done,omitempty"`
	Total   int64     `json:"total,omitempty"`
	Line    string    `json:"line,omitempty"`
	Seconds *float64  `json:"seconds,omitempty"`
	Cached  *bool     `json:"cached,omitempty"`
	Error   string    `json:"error,omitempty"`
}

type jsonLines struct {
	now func() time.Time

	mu   sync.Mutex
	out  *json.Encoder
	n    int
	open []*jsonStep
	err  error
}

func newJSON(w io.Writer, now func() time.Time) *jsonLines {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return &jsonLines{out: out, now: now}
}

type jsonStep struct {
	j     *jsonLines
	id    int
	name  string
	start time.Time
	last  time.Time // of a progress event
	done  bool
}

func (j *jsonLines) Step(name string) Step {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n++
	s := &jsonStep{j: j, id: j.n, name: name, start: j.now()}
	j.open = append(j.open, s)
	s.write(event{Event: "start"})
	return s
}

func (j *jsonLines) Close() error {
	j.mu.Lock()
	open := append([]*jsonStep(nil), j.open...)
	j.mu.Unlock()
	for _, s := range open {
		s.Done(false, ErrInterrupted)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// write adds the common fields and writes the event; the caller holds mu.
func (s *jsonStep) write(e event) {
	e.Time, e.Step, e.Name = s.j.now().UTC(), s.id, s.name
	s.j.err = errors.Join(s.j.err, s.j.out.Encode(e))
}

func (s *jsonStep) Progress(done, total int64) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	now := s.j.now()
	if s.done || now.Sub(s.last) < jsonInterval {
		return
	}
	s.last = now
	s.write(event{Event: "progress", Done: &done, Total: total})
}

func (s *jsonStep) Log(line string)   { s.line("log", line) }
func (s *jsonStep) State(text string) { s.line("state", text) }

func (s *jsonStep) line(kind, text string) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	if !s.done {
		s.write(event{Event: kind, Line: text})
	}
}

func (s *jsonStep) Done(cached bool, err error) {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	s.j.open = without(s.j.open, s)
	took := s.j.now().Sub(s.start).Round(time.Millisecond).Seconds()
	e := event{Event: "done", Seconds: &took, Cached: &cached}
	if err != nil {
		e.Error = err.Error()
	}
	s.write(e)
}
