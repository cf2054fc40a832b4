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

// Explore holds the settings of an exploration.
type Explore struct {
	Seed   uint64
	States int // how many states, from number 0 on; every flush is always checked
	// Collect is the number of bad states after which Run stops; default 1. States are
	// reported by number, so the first one is the same in every run.
	Collect int
	Workers int // default: one for each processor
	// Progress is a file that Run keeps up to date. A later exploration of the same log
	// with the same seed continues from it. Default: none.
	Progress string
	Log      *slog.Logger // gets the progress every few seconds; default: discarded
	// Reproduce returns the command that writes a state's disk again; default: none.
	Reproduce func(number int) string
}

// batch is how many states Run checks before it counts the results.
const batch = 256

// tellEvery is the time between two lines of progress, in seconds.
const tellEvery = 10

// ErrOther says that a progress file belongs to another exploration: another log, seed
// or (in ci/crash/boot) number of cuts.
var ErrOther = errors.New("the progress file is of another exploration")

// Run checks states until it has checked x.States or found x.Collect bad ones. An
// interrupted exploration returns its report so far and the error.
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

// begin makes a report, or loads the one of an earlier run.
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

// Fingerprint is a SHA-256 of everything that states are made from except the data: the
// disk's size, the places of the writes, the epochs.
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

// check returns the problem, or nil, of each state from first to last-1.
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

// count adds the problems of the states from r.Next on to the report, up to x.Collect
// bad ones.
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
