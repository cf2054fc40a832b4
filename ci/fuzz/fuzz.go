// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// shrinking is how long an input that is new to a target may be made smaller. Go's default of
// a minute leaves a slow machine no time for other inputs.
const shrinking = "5s"

// A target is a fuzz target of a package.
type target struct{ pkg, name string }

func (t target) String() string { return t.pkg + " " + t.name }

// A fuzzer runs the targets that are not done.
type fuzzer struct {
	each  time.Duration
	state string // file
	out   io.Writer
	run   func(ctx context.Context, show bool, args ...string) (string, error)
}

// all runs the targets of the packages that patterns name.
func (f fuzzer) all(ctx context.Context, patterns []string, commit string) error {
	said, err := f.run(ctx, false, append([]string{"test", "-list", "^Fuzz"}, patterns...)...)
	if err != nil {
		return fmt.Errorf("listing the targets: %w\n%s", err, said)
	}
	targets := parseList(said)
	if len(targets) == 0 {
		return errors.New("there is no fuzz target")
	}
	round := fmt.Sprintf("%s of %s, %v each", strings.Join(patterns, " "), commit, f.each)
	done, err := f.done(round)
	if err != nil {
		return err
	}
	return f.rest(ctx, targets, done, round)
}

// rest runs the targets that are not done, and forgets the round when all are.
func (f fuzzer) rest(ctx context.Context, targets, done []target, round string) error {
	var broken []string
	for i, t := range targets {
		if slices.Contains(done, t) {
			continue
		}
		fmt.Fprintf(f.out, "== %d of %d: %s\n", i+1, len(targets), t)
		err := f.one(ctx, t)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted after %d of %d targets: the next run goes on", len(done), len(targets))
		case err != nil:
			broken = append(broken, t.String())
			continue
		}
		done = append(done, t)
		if err := f.write(round, done); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%d of %d targets found something; the inputs are in testdata/fuzz of their packages:\n  %s", len(broken), len(targets), strings.Join(broken, "\n  "))
	}
	fmt.Fprintf(f.out, "== %d targets, %v each: nothing found\n", len(targets), f.each)
	return os.Remove(f.state)
}

func (f fuzzer) one(ctx context.Context, t target) error {
	_, err := f.run(ctx, true, "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", f.each.String(), "-fuzzminimizetime", shrinking, "-timeout", "0", t.pkg)
	return err
}

// parseList reads what `go test -list` prints: the names of a package, then a line with the
// package.
func parseList(text string) []target {
	var all []target
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && strings.HasPrefix(words[0], "Fuzz"):
			names = append(names, words[0])
		case len(words) >= 2 && words[0] == "ok":
			for _, name := range names {
				all = append(all, target{words[1], name})
			}
			names = nil
		}
	}
	return all
}

// done reads the targets that are done in this round.
func (f fuzzer) done(round string) ([]target, error) {
	data, err := os.ReadFile(f.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is done: %w", err)
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	if first != round {
		return nil, nil
	}
	var all []target
	for line := range strings.Lines(rest) {
		if pkg, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all = append(all, target{pkg, name})
		}
	}
	return all, nil
}

func (f fuzzer) write(round string, done []target) error {
	lines := []string{round}
	for _, t := range done {
		lines = append(lines, t.String())
	}
	if err := os.MkdirAll(filepath.Dir(f.state), 0o755); err != nil {
		return err
	}
	return durable.Write(f.state, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
