// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// shrinking is how long an input that is new to a target may be made smaller. Go's default of
// a minute leaves a slow machine no time for other inputs.
const shrinking = "5s"

// A target is a fuzz target of a package.
type target struct{ pkg, name string }

func (t target) String() string { return t.pkg + " " + t.name }

// A fuzzer runs the targets whose code has not passed for as long.
type fuzzer struct {
	each time.Duration
	jobs int // targets at the same time
	out  io.Writer
	now  func() time.Time
	// run runs the go command. What it prints is written to out.
	run func(ctx context.Context, out io.Writer, args ...string) error
}

// all runs the targets of the packages that patterns name.
func (f fuzzer) all(ctx context.Context, patterns []string, l *ledger) error {
	targets, err := f.targets(ctx, patterns)
	if err != nil {
		return err
	}
	codes, err := f.codes(ctx, patterns)
	if err != nil {
		return err
	}
	if err := l.tidy(targets, codes); err != nil {
		return err
	}
	var left []target
	for _, t := range targets {
		if !l.has(t, codes[t.pkg], f.each) {
			left = append(left, t)
		}
	}
	fmt.Fprintf(f.out, "== %d fuzz targets, of which %d are left, %v each\n", len(targets), len(left), f.each)
	return f.rest(ctx, left, codes, l)
}

func (f fuzzer) targets(ctx context.Context, patterns []string) ([]target, error) {
	said, err := f.ask(ctx, append([]string{"test", "-list", "^Fuzz"}, patterns...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the targets: %w", err)
	}
	all := parseList(said)
	if len(all) == 0 {
		return nil, errors.New("there is no fuzz target")
	}
	return all, nil
}

// codes are the digests of the packages' code, by import path.
func (f fuzzer) codes(ctx context.Context, patterns []string) (map[string]string, error) {
	said, err := f.ask(ctx, append([]string{"list", "-f", "{{.ImportPath}}\t{{.Dir}}"}, patterns...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the packages: %w", err)
	}
	all := map[string]string{}
	for line := range strings.Lines(said) {
		pkg, dir, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		if all[pkg], err = codeOf(dir); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ask returns what the go command prints.
func (f fuzzer) ask(ctx context.Context, args ...string) (string, error) {
	var said strings.Builder
	if err := f.run(ctx, &said, args...); err != nil {
		return "", fmt.Errorf("%w\n%s", err, said.String())
	}
	return said.String(), nil
}

// rest runs targets, jobs of them at the same time, and writes down each that passed.
func (f fuzzer) rest(ctx context.Context, targets []target, codes map[string]string, l *ledger) error {
	var (
		mu     sync.Mutex
		broken []string
		passed int
		group  errgroup.Group
	)
	group.SetLimit(f.jobs)
	for i, t := range targets {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			p, err := f.one(ctx, t, fmt.Sprintf("%d of %d", i+1, len(targets)))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				broken = append(broken, t.String())
				return l.forget(t)
			}
			passed++
			p.Code, p.Date = codes[t.pkg], f.now().UTC().Format(time.DateOnly)
			return l.add(p)
		})
	}
	switch err := group.Wait(); {
	case err != nil:
		return err
	case len(broken) > 0:
		return fmt.Errorf("targets that found something, with the inputs in testdata/fuzz of their packages:\n  %s", strings.Join(broken, "\n  "))
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %d of %d targets: the next run goes on", passed, len(targets))
	}
	fmt.Fprintf(f.out, "== %d targets, %v each: nothing found\n", len(targets), f.each)
	return nil
}

// one runs a target. Of one that finds something, everything is shown that it printed.
func (f fuzzer) one(ctx context.Context, t target, place string) (pass, error) {
	fmt.Fprintf(f.out, "== %s: %s\n", place, t)
	said := &minutes{name: t.name, out: f.out}
	err := f.run(ctx, said, "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", f.each.String(), "-fuzzminimizetime", shrinking, "-parallel", "1", "-timeout", "0", t.pkg)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(f.out, "== %s: %s: %v\n%s", place, t, err, said.all.String())
	}
	return pass{Package: t.pkg, Target: t.name, Time: f.each.String(), Inputs: said.inputs}, err
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
