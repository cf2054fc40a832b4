// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Graph turns BuildKit's status of a graph into steps. It is not safe for concurrent
// use.
type Graph struct {
	reporter Reporter
	now      func() time.Time
	vertices map[digest.Digest]*vertex
	order    []*vertex
}

// linger is how long a completed source may start again: BuildKit resolves it, computes
// its key and loads it in separate runs.
const linger = 300 * time.Millisecond

type vertex struct {
	step    Step                  // nil while it does not run
	started time.Time             // of the last run that step shows
	ended   time.Time             // when a source's last run ended; zero: it runs
	shown   bool                  // it was shown as finished
	bytes   map[string]*vertexJob // by id
	line    []byte                // of output, still incomplete
}

// vertexJob is a part of a vertex that reports bytes, such as the download of a layer.
type vertexJob struct{ done, total int64 }

// NewGraph returns an adapter; pass its Update to the engine.
func NewGraph(r Reporter) *Graph {
	return newGraph(r, time.Now)
}

func newGraph(r Reporter, now func() time.Time) *Graph {
	return &Graph{reporter: r, now: now, vertices: map[digest.Digest]*vertex{}}
}

// Update takes one message of BuildKit's status stream.
func (g *Graph) Update(s *client.SolveStatus) {
	// The output comes before the end: the message with the failure of a vertex
	// also carries its last output.
	var begun *vertex
	for _, v := range s.Vertexes {
		if g.begin(v) {
			begun = g.vertex(v.Digest)
		}
	}
	for _, l := range s.Logs {
		g.vertex(l.Vertex).log(l.Data)
	}
	for _, st := range s.Statuses {
		g.vertex(st.Vertex).count(st)
	}
	for _, v := range s.Vertexes {
		g.end(v)
	}
	g.settle(begun)
}

// settle ends the sources that will not start again, because another vertex began or
// linger has passed.
func (g *Graph) settle(begun *vertex) {
	for _, v := range g.order {
		if v.ended.IsZero() {
			continue
		}
		if begun != nil && begun != v || g.now().Sub(v.ended) >= linger {
			v.done(false, nil)
		}
	}
}

// Close ends the remaining steps: those of completed sources, and, as interrupted,
// those that are still open because the stream broke off.
func (g *Graph) Close() {
	for _, v := range g.order {
		if v.ended.IsZero() {
			v.done(false, ErrInterrupted)
		} else {
			v.done(false, nil)
		}
	}
}

func (g *Graph) vertex(d digest.Digest) *vertex {
	v, ok := g.vertices[d]
	if !ok {
		v = &vertex{bytes: map[string]*vertexJob{}}
		g.vertices[d] = v
		g.order = append(g.order, v)
	}
	return v
}

// begin starts a step for a vertex that starts to run. A cached vertex, or one that
// starts and ends in the same message, has its step, too.
func (g *Graph) begin(u *client.Vertex) bool {
	v := g.vertex(u.Digest)
	if u.Started == nil || !u.Started.After(v.started) {
		return false
	}
	if v.step != nil {
		v.started, v.ended = *u.Started, time.Time{} // a source starts again
		return false
	}
	if v.shown && u.Completed != nil && u.Error == "" {
		return false // it ran again for a moment, to look something up
	}
	v.started = *u.Started
	g.settle(v)
	v.step = g.reporter.Step(u.Name)
	return true
}

func (g *Graph) end(u *client.Vertex) {
	v := g.vertex(u.Digest)
	if u.Completed == nil || v.step == nil {
		return
	}
	if len(u.Inputs) == 0 && !u.Cached && u.Error == "" {
		v.ended = g.now()
		return
	}
	v.done(u.Cached, vertexError(u.Error))
}

func vertexError(text string) error {
	switch {
	case text == "":
		return nil
	case strings.Contains(text, "context canceled"):
		return ErrInterrupted
	}
	return errors.New(text)
}

func (v *vertex) done(cached bool, err error) {
	if v.step == nil {
		return
	}
	if len(v.line) > 0 {
		v.step.Log(string(v.line))
	}
	v.step.Done(cached, err)
	v.step, v.ended, v.shown, v.line = nil, time.Time{}, true, nil
}

// log splits output into lines.
func (v *vertex) log(data []byte) {
	if v.step == nil {
		return
	}
	v.line = append(v.line, data...)
	for {
		line, rest, found := bytes.Cut(v.line, []byte("\n"))
		if !found {
			return
		}
		v.step.Log(string(line))
		v.line = rest
	}
}

// count adds up the bytes of the parts of the vertex. The total is known if the totals
// of all parts are.
func (v *vertex) count(s *client.VertexStatus) {
	if v.step == nil || s.Current == 0 && s.Total == 0 {
		return
	}
	v.bytes[s.ID] = &vertexJob{s.Current, s.Total}
	var done, total int64
	known := true
	for _, job := range v.bytes {
		done, total = done+job.done, total+job.total
		known = known && job.total > 0
	}
	if !known {
		total = 0
	}
	v.step.Progress(done, total)
}
