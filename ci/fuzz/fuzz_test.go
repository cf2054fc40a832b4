// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const listed = `FuzzA
FuzzB
ok  	example.org/x/one	0.01s
?   	example.org/x/two	[no test files]
ok  	example.org/x/three	0.02s
FuzzA
ok  	example.org/x/four	(cached)
`

// fakeGo records what is run, and fails where it is told to.
type fakeGo struct {
	ran    []string
	broken string
	stop   func() // called at the second target
}

func (g *fakeGo) run(_ context.Context, _ bool, args ...string) (string, error) {
	if slices.Contains(args, "-list") {
		return listed, nil
	}
	name := args[len(args)-1] + " " + strings.Trim(args[slices.Index(args, "-fuzz")+1], "^$")
	g.ran = append(g.ran, name)
	if g.stop != nil && len(g.ran) == 2 {
		g.stop()
		return "", errors.New("signal: interrupt")
	}
	if name == g.broken {
		return "", errors.New("exit status 1")
	}
	return "", nil
}

func TestAllTargets(t *testing.T) {
	want := []string{"example.org/x/one FuzzA", "example.org/x/one FuzzB", "example.org/x/four FuzzA"}
	state := filepath.Join(t.TempDir(), "fuzz/done")
	round := func(g *fakeGo, ctx context.Context, commit string, each time.Duration) error {
		return fuzzer{each: each, state: state, out: io.Discard, run: g.run}.all(ctx, []string{"./..."}, commit)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := &fakeGo{stop: cancel}
	if err := round(first, ctx, "c1", time.Minute); err == nil || err.Error() != "interrupted after 1 of 3 targets: the next run goes on" {
		t.Fatalf("got %v", err)
	}
	second := &fakeGo{broken: want[1]}
	err := round(second, t.Context(), "c1", time.Minute)
	if diff := cmp.Diff(want[1:], second.ran); diff != "" || err == nil ||
		err.Error() != "1 of 3 targets found something; the inputs are in testdata/fuzz of their packages:\n  "+want[1] {
		t.Fatalf("%v, -want +got:\n%s", err, diff)
	}
	third := &fakeGo{}
	if err := round(third, t.Context(), "c1", time.Minute); err != nil || !cmp.Equal(third.ran, want[1:2]) {
		t.Errorf("the one that found something: %v, %v", err, third.ran)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the round is over, and its file is there")
	}
	for _, other := range []struct {
		commit string
		each   time.Duration
	}{{"c2", time.Minute}, {"c2", time.Hour}} {
		g := &fakeGo{broken: want[2]}
		if err := round(g, t.Context(), other.commit, other.each); err == nil || !cmp.Equal(g.ran, want) {
			t.Errorf("%+v begins anew: %v, %v", other, err, g.ran)
		}
	}
}

func TestBadInput(t *testing.T) {
	for want, args := range map[string][]string{
		"the time for each target is 0s: want for instance FUZZTIME=10m": {"-time", "0s", "-state", "x"},
		"no file for what is done: give one with -state":                 {"-time", "1s"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	none := fuzzer{run: func(context.Context, bool, ...string) (string, error) { return "ok  	example.org/x	0.1s\n", nil }}
	if err := none.all(t.Context(), []string{"./..."}, ""); err == nil || err.Error() != "there is no fuzz target" {
		t.Errorf("got %v", err)
	}
	broken := fuzzer{run: func(context.Context, bool, ...string) (string, error) {
		return "x.go:1: oh\n", errors.New("exit status 1")
	}}
	if err := broken.all(t.Context(), []string{"./..."}, ""); err == nil || err.Error() != "listing the targets: exit status 1\nx.go:1: oh\n" {
		t.Errorf("got %v", err)
	}
}
