// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestGraph(t *testing.T) {
	c, out := newClock(), &bytes.Buffer{}
	r := newPlain(out, c.now)
	g := newGraph(r, c.now)
	at := func() *time.Time { now := c.now(); return &now }
	run := func(s *client.SolveStatus) {
		g.Update(s)
		c.advance(time.Second)
	}

	baseStart := at()
	run(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: "a", Name: "base"}, {Digest: "b", Name: "packages"}, {Digest: "d", Name: "idle"},
	}})
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "base", Started: baseStart}}})
	for i := range int64(7) {
		run(&client.SolveStatus{Statuses: []*client.VertexStatus{
			{ID: "layer 1", Vertex: "a", Current: i << 20, Total: 10 << 20},
			{ID: "layer 2", Vertex: "a", Current: 1 << 20, Total: 1 << 20},
		}})
	}
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "base", Started: baseStart, Completed: at()}}})
	again := at()
	c.advance(time.Millisecond)
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "base", Started: again, Completed: at()}}}) // a look-up: not shown
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "c", Name: "cached", Started: at(), Completed: at(), Cached: true}}})

	started := at()
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "b", Name: "packages", Started: started}, {Digest: "e", Name: "sibling", Started: started}}})
	run(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: "b", Data: []byte("one\ntw")}, {Vertex: "b", Data: []byte("o\nlast words")}}})
	run(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: "b", Name: "packages", Started: started, Completed: at(), Error: "exit code: 100"},
		{Digest: "e", Name: "sibling", Started: started, Completed: at(), Error: "context canceled"},
	}})
	run(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "f", Name: "cut off", Started: at()}}})
	g.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/graph.txt", out.String())
}

func TestGraphMergesTheRunsOfASource(t *testing.T) {
	c, out := newClock(), &bytes.Buffer{}
	r := newPlain(out, c.now)
	g := newGraph(r, c.now)
	at := func() *time.Time { now := c.now(); return &now }
	for range 4 {
		started := at()
		g.Update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "base", Started: started}}})
		c.advance(200 * time.Millisecond)
		g.Update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "a", Name: "base", Started: started, Completed: at()}}})
		c.advance(100 * time.Millisecond)
	}
	g.Update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "b", Inputs: []digest.Digest{"a"}, Name: "packages", Started: at()}}})
	c.advance(time.Second)
	g.Update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "c", Name: "late source", Started: at(), Completed: at()}}})
	c.advance(time.Second)
	g.Update(&client.SolveStatus{})
	g.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/sources.txt", out.String())
}
