// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// keepLines is how much of a step's output an error repeats.
const keepLines = 20

// maxLine bounds one kept line in bytes; a progress bar can be endless.
const maxLine = 4096

// Step is one vertex of the graph, with its times and its outcome.
type Step struct {
	Name      string
	Digest    digest.Digest // identifies the vertex
	Started   time.Time     // zero: it never started
	Completed time.Time     // zero: it never completed
	Duration  time.Duration // time spent in it; a step can start more than once
	Cached    bool          // its result was in the cache
	Error     string        // why it failed, "" if it did not
}

// record collects steps and the ends of their outputs from a status stream. It
// is used by one goroutine.
type record struct {
	steps map[digest.Digest]*recordedStep
	order []digest.Digest
}

type recordedStep struct {
	Step
	spans map[time.Time]time.Duration // by start
	tail  tail
}

func newRecord() *record {
	return &record{steps: map[digest.Digest]*recordedStep{}}
}

func (r *record) add(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		r.addVertex(v)
	}
	for _, l := range s.Logs {
		_, _ = r.step(l.Vertex).tail.Write(l.Data) // it writes to memory and never fails
	}
}

func (r *record) step(d digest.Digest) *recordedStep {
	s, ok := r.steps[d]
	if !ok {
		s = &recordedStep{Step: Step{Digest: d}, spans: map[time.Time]time.Duration{}}
		r.steps[d] = s
		r.order = append(r.order, d)
	}
	return s
}

func (r *record) addVertex(v *client.Vertex) {
	s := r.step(v.Digest)
	s.Name, s.Cached, s.Error = v.Name, s.Cached || v.Cached, v.Error
	if v.Started == nil {
		return
	}
	if s.Started.IsZero() || v.Started.Before(s.Started) {
		s.Started = *v.Started
	}
	if v.Completed == nil {
		return
	}
	if v.Completed.After(s.Completed) {
		s.Completed = *v.Completed
	}
	s.spans[*v.Started] = v.Completed.Sub(*v.Started)
}

// list returns the named steps by start; those that never started come last.
func (r *record) list() []Step {
	var steps []Step
	for _, d := range r.order {
		s := r.steps[d]
		if s.Name == "" {
			continue
		}
		s.Duration = 0
		for _, span := range s.spans {
			s.Duration += span
		}
		steps = append(steps, s.Step)
	}
	slices.SortStableFunc(steps, func(a, b Step) int {
		if a.Started.IsZero() != b.Started.IsZero() {
			return cmp.Compare(boolInt(a.Started.IsZero()), boolInt(b.Started.IsZero()))
		}
		return a.Started.Compare(b.Started)
	})
	return steps
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// failed is the step with the digest vertex, else the last step that reported an
// error, else nil.
func (r *record) failed(vertex string) *recordedStep {
	if s, ok := r.steps[digest.Digest(vertex)]; ok {
		return s
	}
	for _, d := range slices.Backward(r.order) {
		if r.steps[d].Error != "" {
			return r.steps[d]
		}
	}
	return nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	lines []string
	open  []byte // a line without its end so far
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		t.extend(p[:i])
		t.end()
		p = p[i+1:]
	}
	t.extend(p)
	return n, nil
}

func (t *tail) extend(p []byte) {
	if room := maxLine - len(t.open); len(p) > room {
		p = p[:max(room, 0)]
	}
	t.open = append(t.open, p...)
}

// end closes the open line. A carriage return overwrites the text before it.
func (t *tail) end() {
	line := bytes.TrimRight(t.open, "\r ")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	t.lines = append(t.lines, string(line))
	if len(t.lines) > keepLines {
		t.lines = t.lines[len(t.lines)-keepLines:]
	}
	t.open = t.open[:0]
}

// last returns the kept lines, the open one included.
func (t *tail) last() []string {
	if len(t.open) > 0 {
		t.end()
	}
	return slices.Clone(t.lines)
}
