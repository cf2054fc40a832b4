// SPDX-License-Identifier: Apache-2.0

// Package health runs the health checks of the config: units, HTTP and TCP
// endpoints, and commands. The caller checks Kubernetes. framework/node/settle decides what follows from the result.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Path is the file to which `kairos-agent settle` writes the result of this boot.
const Path = "/run/kairos/health.json"

// Version is the value of Result.Version that this package writes. Readers
// ignore keys that they do not know; a key never changes its meaning.
const Version = 1

// Interval is the time between two attempts of a check.
const Interval = 2 * time.Second

// Result is the health of a node, and the document at Path.
type Result struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	// OK is true when every check passed. A node without checks is healthy.
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"` // until the last check ended
	Checks  []Check `json:"checks"`  // in the order of the config
	// Warnings are sentences for a person about problems that fail no check.
	Warnings []string `json:"warnings,omitempty"`
}

// Check is the result of one check.
type Check struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"` // unit, http, tcp, command, kubernetes or config
	Passed   bool    `json:"passed"`
	Attempts int     `json:"attempts"`
	Seconds  float64 `json:"seconds"`
	// Message is why the last attempt failed. The last output of a command follows
	// on lines of its own.
	Message string `json:"message,omitempty"`
	Origin  string `json:"origin,omitempty"` // file:line:column
}

// A Prober makes one attempt of a check. It returns nil if the check passed, and
// returns when ctx is done.
type Prober func(ctx context.Context, c config.Check) error

// Once makes one attempt of every check, in parallel.
func Once(ctx context.Context, checks []config.Check, probe Prober) Result {
	return run(checks, func(c config.Check, result *Check) { attempt(ctx, c, result, probe) })
}

// ErrFinal is wrapped by the error of a check that cannot pass in this boot any more.
var ErrFinal = errors.New("it stays so until the next boot")

// Run repeats every check until it passes, in parallel, for at most limit. Each check
// gets at least one attempt. After an error that is ErrFinal, nothing is repeated: the
// node cannot become healthy.
func Run(ctx context.Context, checks []config.Check, limit time.Duration, probe Prober) Result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	watched := func(ctx context.Context, c config.Check) error {
		err := probe(ctx, c)
		if errors.Is(err, ErrFinal) {
			cancel()
		}
		return err
	}
	return run(checks, func(c config.Check, result *Check) {
		for attempt(ctx, c, result, watched); !result.Passed && pause(ctx); {
			attempt(ctx, c, result, watched)
		}
	})
}

func run(checks []config.Check, one func(config.Check, *Check)) Result {
	start := time.Now()
	r := Result{Version: Version, Time: start.UTC(), Checks: make([]Check, len(checks))}
	var all sync.WaitGroup
	for i, c := range checks {
		result := &r.Checks[i]
		*result = Check{Name: c.Title(), Kind: c.Kind()}
		if c.Origin.File != "" {
			result.Origin = c.Origin.String()
		}
		all.Go(func() {
			one(c, result)
			result.Seconds = seconds(start)
		})
	}
	all.Wait()
	r.Seconds = seconds(start)
	r.judge()
	return r
}

// seconds returns the seconds since start, to the millisecond.
func seconds(start time.Time) float64 { return float64(time.Since(start).Milliseconds()) / 1000 }

func attempt(ctx context.Context, c config.Check, result *Check, probe Prober) {
	if result.Attempts > 0 && ctx.Err() != nil {
		return
	}
	own, cancel := context.WithTimeout(ctx, c.Limit())
	defer cancel()
	result.Attempts++
	err := probe(own, c)
	switch {
	case err == nil:
		result.Passed, result.Message = true, ""
	case errors.Is(err, ErrFinal):
		result.Message = clean(err.Error())
	case own.Err() != nil && result.Message != "" && ctx.Err() != nil:
		// The limit of all checks cut this attempt off: the message of the attempt
		// before says more.
	case errors.Is(own.Err(), context.DeadlineExceeded):
		result.Message = clean(fmt.Sprintf("no answer in %v: %v", c.Limit(), err))
	default:
		result.Message = clean(err.Error())
	}
}

// pause waits for the next attempt. It returns false if no time is left.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(Interval):
		return true
	}
}

// Add adds a check that was judged elsewhere.
func (r *Result) Add(c Check) {
	r.Checks = append(r.Checks, c)
	r.judge()
}

func (r *Result) judge() {
	r.OK = true
	for _, c := range r.Checks {
		r.OK = r.OK && c.Passed
	}
}

// Failures returns one line for each failed check.
func (r *Result) Failures() []string {
	var out []string
	for _, c := range r.Checks {
		if !c.Passed {
			out = append(out, c.Name+": "+strings.ReplaceAll(c.Message, "\n", " | "))
		}
	}
	return out
}

// String returns the result on one line.
func (r *Result) String() string {
	if failures := r.Failures(); len(failures) > 0 {
		return fmt.Sprintf("%d of %d checks failed: %s", len(failures), len(r.Checks), strings.Join(failures, "; "))
	}
	if len(r.Checks) == 1 {
		return fmt.Sprintf("1 check passed in %.1f s", r.Seconds)
	}
	return fmt.Sprintf("%d checks passed in %.1f s", len(r.Checks), r.Seconds)
}

// Write writes the document.
func (r *Result) Write(root tree.Root) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = root.Replace(Path, tree.File{Data: append(data, '\n'), Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing the health result: %w", err)
	}
	return nil
}

// ErrNone is the error of Read if there is no document: the checks of this boot have
// not ended, or did not run.
var ErrNone = errors.New("the health checks of this boot have not ended")

// Read reads the document.
func Read(root tree.Root) (*Result, error) {
	data, err := root.Read(Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the health result: %w", err)
	}
	r := new(Result)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the health result: %w", err)
	}
	return r, nil
}
