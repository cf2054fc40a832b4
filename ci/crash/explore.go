// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Explore says how far to go.
type Explore struct {
	Seed   uint64
	States int // how many, from number 0 on; at least every flush is checked
	// Collect is how many bad states are enough; default 1. The states are
	// reported by number, so the first one is the same in every run.
	Collect int
	Workers int // default: one for each processor
	// Progress is a file that is kept up to date, and from which an exploration
	// of the same log with the same seed goes on. Default: none.
	Progress string
	Log      *slog.Logger // says every few seconds how far it is; default: nothing
	// Reproduce gives the command that shows a state again; default: none.
	Reproduce func(number int) string
}

// batch is how many states are checked between two looks at the results.
const batch = 256

// tellEvery is in seconds.
const tellEvery = 10

// ErrOther says that a progress file is of another log, seed or version.
var ErrOther = errors.New("the progress file is of another exploration")

// Run checks states until there are enough, or enough bad ones. An interrupted
// exploration gives the report of what it did, and the error.
func (x Explore) Run(ctx context.Context, t *Timeline, c *Checker) (*Report, error) {
	x = x.withDefaults(t)
	r, err := x.begin(t)
	if err != nil {
		return nil, err
	}
	began, before := time.Now(), r.Seconds //nolint:forbidigo // how long it took
	for r.Next < x.States && len(r.Bad) < x.Collect {
		problems, err := x.check(ctx, t, c, r.Next, min(r.Next+batch, x.States))
		if err != nil {
			return r, err
		}
		x.count(r, t, problems)
		last := r.Seconds
		r.Seconds = before + time.Since(began).Seconds()
		if int(last/tellEvery) != int(r.Seconds/tellEvery) {
			x.Log.Info("exploring", "states", r.Next, "of", x.States, "bad", len(r.Bad))
		}
		r.add(c)
		if err := r.save(x.Progress); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (x Explore) withDefaults(t *Timeline) Explore {
	if x.Workers == 0 {
		x.Workers = runtime.GOMAXPROCS(0)
	}
	if x.Log == nil {
		x.Log = slog.New(slog.DiscardHandler)
	}
	x.Collect = max(x.Collect, 1)
	x.States = max(x.States, t.Boundaries())
	if len(t.Writes) == 0 {
		x.States = 1
	}
	return x
}

// begin makes a report, or takes up the one of an earlier run.
func (x Explore) begin(t *Timeline) (*Report, error) {
	fresh := &Report{
		Log: t.Fingerprint(), Seed: x.Seed, Writes: len(t.Writes), Epochs: t.EpochCount(), Boundaries: t.Boundaries(),
		BadByPart: map[string]int{}, Distinct: map[string]int{},
	}
	r, err := load(x.Progress)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	if r.Log != fresh.Log || r.Seed != fresh.Seed {
		return nil, fmt.Errorf("%s: %w (seed %d of log %.12s); name another file, or remove this one", x.Progress, ErrOther, r.Seed, r.Log)
	}
	return r, nil
}

// Fingerprint is a hash of all that states are made from but the data.
func (t *Timeline) Fingerprint() string {
	h := sha256.New()
	b := binary.LittleEndian.AppendUint64(nil, uint64(t.Size))
	for _, w := range t.Writes {
		b = binary.LittleEndian.AppendUint64(b, uint64(w.First))
		b = binary.LittleEndian.AppendUint64(b, uint64(w.End))
	}
	for _, e := range t.Epochs {
		b = binary.LittleEndian.AppendUint64(b, uint64(e))
	}
	h.Write(b)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// check gives what is wrong with each of the states from first to before last.
func (x Explore) check(ctx context.Context, t *Timeline, c *Checker, first, last int) ([]*Problem, error) {
	problems := make([]*Problem, last-first)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(x.Workers)
	for i := range problems {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := t.State(x.Seed, first+i)
			err := c.Check(ctx, t.View(s))
			if problem, ok := errors.AsType[*Problem](err); ok && ctx.Err() == nil {
				problems[i] = problem
				return nil
			}
			if err != nil {
				return fmt.Errorf("checking %s: %w", s, err)
			}
			return nil
		})
	}
	return problems, g.Wait()
}

// count puts the problems of the states from r.Next on into the report, up to
// the last bad one that is wanted.
func (x Explore) count(r *Report, t *Timeline, problems []*Problem) {
	for _, p := range problems {
		n := r.Next
		r.Next++
		if p == nil {
			continue
		}
		s := t.State(x.Seed, n)
		bad := Bad{State: n, Epoch: s.Epoch, Part: p.Part, What: p.Err.Error(), When: s.String()}
		if x.Reproduce != nil {
			bad.Reproduce = x.Reproduce(n)
		}
		r.BadByPart[p.Part]++
		if r.Bad = append(r.Bad, bad); len(r.Bad) == x.Collect {
			return
		}
	}
}
