// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
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

// fakeGo stands in for the go command: it records the targets that are run, and one of them
// finds something.
type fakeGo struct {
	dir    string // of all packages
	ran    []string
	broken string
	stop   func() // called at the second target
}

func (g *fakeGo) run(_ context.Context, out io.Writer, args ...string) error {
	switch {
	case args[0] == "list":
		for _, name := range []string{"one", "three", "four"} {
			fmt.Fprintf(out, "example.org/x/%s\t%s\n", name, g.dir)
		}
		return nil
	case slices.Contains(args, "-list"):
		fmt.Fprint(out, listed)
		return nil
	}
	name := args[len(args)-1] + " " + strings.Trim(args[slices.Index(args, "-fuzz")+1], "^$")
	g.ran = append(g.ran, name)
	if g.stop != nil && len(g.ran) == 2 {
		g.stop()
		return errors.New("signal: interrupt")
	}
	fmt.Fprint(out, "fuzz: elapsed: 0s, execs: 0 (0/sec)\nfuzz: elapsed: 3s, execs: 41 (14/sec), new inter", "esting: 0 (total: 7)\n")
	if name == g.broken {
		fmt.Fprintln(out, "panic: oh")
		return errors.New("exit status 1")
	}
	fmt.Fprintln(out, "fuzz: elapsed: 1m0s, execs: 812 (14/sec), new interesting: 0 (total: 7)")
	return nil
}

func TestAllTargets(t *testing.T) {
	want := []string{"example.org/x/one FuzzA", "example.org/x/one FuzzB", "example.org/x/four FuzzA"}
	dir := t.TempDir()
	code := filepath.Join(dir, "x.go")
	if err := os.WriteFile(code, []byte("package x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fuzz/passed.json")
	var out strings.Builder
	round := func(ctx context.Context, g *fakeGo, each time.Duration) error {
		t.Helper()
		l, err := openLedger(file)
		if err != nil {
			t.Fatal(err)
		}
		g.dir = dir
		out.Reset()
		now := func() time.Time { return time.Date(2026, 7, 1, 2, 3, 4, 0, time.UTC) }
		return fuzzer{each: each, jobs: 1, out: &out, now: now, run: g.run}.all(ctx, []string{"./..."}, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := round(ctx, &fakeGo{stop: cancel}, time.Minute); err == nil || err.Error() != "interrupted after 1 of 3 targets: the next run goes on" {
		t.Fatalf("got %v", err)
	}
	second := &fakeGo{broken: want[1]}
	err := round(t.Context(), second, time.Minute)
	if diff := cmp.Diff(want[1:], second.ran); diff != "" || err == nil ||
		err.Error() != "targets that found something, with the inputs in testdata/fuzz of their packages:\n  "+want[1] {
		t.Fatalf("%v, -want +got:\n%s", err, diff)
	}
	if !strings.Contains(out.String(), "panic: oh") {
		t.Errorf("it does not show what was found:\n%s", out.String())
	}
	third := &fakeGo{}
	if err := round(t.Context(), third, time.Minute); err != nil || !cmp.Equal(third.ran, want[1:2]) {
		t.Errorf("the one that found something: %v, %v", err, third.ran)
	}
	l, err := openLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	digest := l.passes[0].Code
	if diff := cmp.Diff([]pass{
		{"example.org/x/four", "FuzzA", digest, "2026-07-01", "1m0s", 812},
		{"example.org/x/one", "FuzzA", digest, "2026-07-01", "1m0s", 812},
		{"example.org/x/one", "FuzzB", digest, "2026-07-01", "1m0s", 812},
	}, l.passes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	gone, elsewhere := pass{Package: "example.org/x/three", Target: "FuzzOld"}, pass{Package: "example.org/y", Target: "FuzzY"}
	if err := errors.Join(l.add(gone), l.add(elsewhere)); err != nil {
		t.Fatal(err)
	}
	if g := (&fakeGo{}); round(t.Context(), g, time.Second) != nil || g.ran != nil {
		t.Errorf("all passed, and for longer: %v", g.ran)
	}
	if l, err = openLedger(file); err != nil || slices.Contains(l.passes, gone) || !slices.Contains(l.passes, elsewhere) {
		t.Errorf("%v, %+v: want without %+v", err, l.passes, gone)
	}
	if g := (&fakeGo{broken: want[2]}); round(t.Context(), g, time.Hour) == nil || !cmp.Equal(g.ran, want) {
		t.Errorf("a longer time: %v", g.ran)
	}
	if err := os.WriteFile(code, []byte("package x // changed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if g := (&fakeGo{}); round(t.Context(), g, time.Minute) != nil || !cmp.Equal(g.ran, want) {
		t.Errorf("the code is another: %v", g.ran)
	}
}

// Tests without a fuzz target do not count as the code of a package.
func TestCode(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, err := codeOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	seen := []string{write("x.go", "package x\n")}
	for _, same := range [][2]string{{"x_test.go", "package x\n"}, {"x.txt", "x"}} {
		if got := write(same[0], same[1]); got != seen[0] {
			t.Errorf("%s changes it", same[0])
		}
	}
	for _, other := range [][2]string{{"x.go", "package x\n//"}, {"y.go", "package x\n"}, {"y_test.go", "package x\nfunc FuzzX(f *testing.F) {}\n"}} {
		got := write(other[0], other[1])
		if slices.Contains(seen, got) {
			t.Errorf("%s does not change it", other[0])
		}
		seen = append(seen, got)
	}
}

// A line a minute, and all that is no line of progress.
func TestMinutes(t *testing.T) {
	var out strings.Builder
	m := &minutes{name: "FuzzX", out: &out}
	for _, after := range []string{"0s", "3s", "59s", "1m0s", "1m3s", "2m2s", "2m5s", "3m0s"} {
		fmt.Fprintf(m, "fuzz: elapsed: %s, execs: 5 (1/sec)\n", after)
	}
	fmt.Fprint(m, "PASS\nok\n")
	want := ""
	for _, after := range []string{"0s", "1m0s", "2m2s", "3m0s"} {
		want += "FuzzX: fuzz: elapsed: " + after + ", execs: 5 (1/sec)\n"
	}
	if out.String() != want || m.all.String() != "PASS\nok\n" || m.inputs != 5 {
		t.Errorf("got %q, %q, %d", out.String(), m.all.String(), m.inputs)
	}
}

// The go command itself ignores an interrupt, and leaves it to the test that it runs.
func TestInterruptReachesTheTest(t *testing.T) {
	script := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+
		// nohup ignores the signal, and a shell cannot change that
		"exec env --default-signal=INT sh -c 'trap : INT; sh -c \"echo begun; exec sleep 1000\"; echo ended'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopsAt{text: "begun\n", stop: cancel}
	if err := goCommand(script)(ctx, out); err == nil || out.all.String() != "begun\nended\n" {
		t.Errorf("got %v and %q", err, out.all.String())
	}
}

// stopsAt calls stop once text was written.
type stopsAt struct {
	all  strings.Builder
	text string
	stop func()
}

func (s *stopsAt) Write(p []byte) (int, error) {
	s.all.Write(p)
	if s.all.String() == s.text {
		s.stop()
	}
	return len(p), nil
}

func TestBadInput(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "passed.json")
	if err := os.WriteFile(broken, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"the time for each target is 0s: want for instance FUZZTIME=10m":             {"-time", "0s", "-passed", "x"},
		"no file for what passed: give one with -passed":                             {"-time", "1s"},
		"0 targets at the same time: want at least 1":                                {"-jobs", "0", "-passed", "x"},
		"reading which targets passed: " + broken + ": unexpected end of JSON input": {"-passed", broken},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	says := func(text string, err error) fuzzer {
		return fuzzer{out: io.Discard, run: func(_ context.Context, out io.Writer, _ ...string) error {
			fmt.Fprint(out, text)
			return err
		}}
	}
	if err := says("ok  	example.org/x	0.1s\n", nil).all(t.Context(), []string{"./..."}, nil); err == nil || err.Error() != "there is no fuzz target" {
		t.Errorf("got %v", err)
	}
	if err := says("x.go:1: oh\n", errors.New("exit status 1")).all(t.Context(), []string{"./..."}, nil); err == nil || err.Error() != "listing the targets: exit status 1\nx.go:1: oh\n" {
		t.Errorf("got %v", err)
	}
}
