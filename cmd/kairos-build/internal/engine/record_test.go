// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
)

func TestRecord(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := start.Add(d); return &t }
	r := newRecord()
	r.add(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: "idle", Name: "idle"},
		{Digest: "b", Name: "packages", Started: at(2 * time.Second)},
		{Digest: "a", Name: "base", Started: at(0), Completed: at(time.Millisecond)},
	}})
	r.add(&client.SolveStatus{
		Vertexes: []*client.Vertex{
			{Digest: "a", Name: "base", Started: at(time.Second), Completed: at(3 * time.Second)}, // a second run
			{Digest: "b", Name: "packages", Started: at(2 * time.Second), Completed: at(5 * time.Second), Error: "exit code 100"},
			{Digest: "c", Name: "kernel", Started: at(4 * time.Second), Completed: at(4 * time.Second), Cached: true},
		},
		Logs: []*client.VertexLog{{Vertex: "b", Data: []byte("one\ntwo")}, {Vertex: "x", Data: []byte("nobody's\n")}},
	})
	want := []Step{
		{Name: "base", Digest: "a", Started: *at(0), Completed: *at(3 * time.Second), Duration: 2001 * time.Millisecond},
		{Name: "packages", Digest: "b", Started: *at(2 * time.Second), Completed: *at(5 * time.Second), Duration: 3 * time.Second, Error: "exit code 100"},
		{Name: "kernel", Digest: "c", Started: *at(4 * time.Second), Completed: *at(4 * time.Second), Cached: true},
		{Name: "idle", Digest: "idle"},
	}
	if diff := cmp.Diff(want, r.list()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := r.failed("unknown"); s == nil || s.Name != "packages" {
		t.Errorf("failed step: %+v", s)
	}
	if diff := cmp.Diff([]string{"one", "two"}, r.failed("b").tail.last()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTail(t *testing.T) {
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintln(&many, i)
	}
	tests := []struct {
		name string
		in   []string
		want []string
	}{
		{"pieces", []string{"a", "b\nc", "\n", "d"}, []string{"ab", "c", "d"}},
		{"carriage returns", []string{"10%\r20%\r30%\r\ndone\r\n"}, []string{"30%", "done"}},
		{"empty lines stay", []string{"a\n\nb\n"}, []string{"a", "", "b"}},
		{"nothing", nil, nil},
		{"the last of many", []string{many.String()}, strings.Fields(many.String())[80:]},
		{"endless line", []string{strings.Repeat("x", 10*maxLine), strings.Repeat("y", maxLine)}, []string{strings.Repeat("x", maxLine)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tl tail
			for _, p := range tt.in {
				if n, err := tl.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("wrote %d of %d, %v", n, len(p), err)
				}
			}
			if diff := cmp.Diff(tt.want, tl.last()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepErrorText(t *testing.T) {
	err := &StepError{Step: "install packages", ExitCode: 100, Output: []string{"E: one", "E: two"}, Err: errors.New("x")}
	want := "step \"install packages\" ended with exit code 100; the end of its output:\n    E: one\n    E: two"
	if got := err.Error(); got != want {
		t.Errorf("got %q", got)
	}
	err = &StepError{Step: "base", ExitCode: -1, Err: errors.New("no such blob")}
	if got := err.Error(); got != `step "base": no such blob` {
		t.Errorf("got %q", got)
	}
}

func TestExplain(t *testing.T) {
	e := &Engine{state: t.TempDir()}
	rec := newRecord()
	rec.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "sha256:1", Name: "kernel"}}})
	err := errdefs.WrapVertex(&gatewaypb.ExitError{ExitCode: 3}, "sha256:1")
	got := e.explain(t.Context(), fmt.Errorf("failed to solve: %w", err), rec)
	var step *StepError
	if !errors.As(got, &step) || step.Step != "kernel" || step.ExitCode != 3 {
		t.Errorf("got %v", got)
	}
	got = e.explain(t.Context(), errors.New("failed to solve: rpc error: code = Unknown desc = no worker"), newRecord())
	if got.Error() != "executing the graph: no worker" {
		t.Errorf("got %v", got)
	}
}
