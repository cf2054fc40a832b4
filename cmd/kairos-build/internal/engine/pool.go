// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// A Pool is places to build in, on one builder or several. In each is one piece of work at a time.
type Pool struct {
	log     *slog.Logger
	mu      sync.Mutex
	members []*member
	changed chan struct{} // closed at each change of a member
}

type member struct {
	Options
	Description
	busy bool
	lost error // why it is not used any more
}

// NewPool asks every builder what it can do. An error names each that cannot be used.
func NewPool(ctx context.Context, log *slog.Logger, list []Options) (*Pool, error) {
	p := &Pool{log: log, changed: make(chan struct{})}
	var errs []error
	for _, o := range list {
		d, err := Describe(ctx, o)
		if err != nil {
			errs = append(errs, err)
		}
		p.members = append(p.members, &member{Options: o, Description: d})
	}
	return p, errors.Join(errs...)
}

// Share is a pool of n places on one builder, which is not asked what it can do.
func Share(log *slog.Logger, o Options, n int) *Pool {
	p := &Pool{log: log, changed: make(chan struct{})}
	for range n {
		p.members = append(p.members, &member{Options: o})
	}
	return p
}

// Do works on a builder that runs the programs of the platform, and waits for one that is
// free. If the builder is lost meanwhile, work is called again with another; so it must be
// possible to do it again. The error is that of the work, or says why no builder is left.
func (p *Pool) Do(ctx context.Context, platform string, work func(Options) error) error {
	for {
		m, err := p.take(ctx, platform)
		if err != nil {
			return err
		}
		err = work(m.Options)
		gone := (*BuilderError)(nil)
		if !errors.As(err, &gone) || ctx.Err() != nil {
			p.put(m, nil)
			return err
		}
		p.put(m, err)
		p.log.Warn(fmt.Sprintf("%v; what it built begins anew on another builder", err))
	}
}

// take finds a builder, or says that there is none.
func (p *Pool) take(ctx context.Context, platform string) (*member, error) {
	for {
		m, changed, err := p.find(platform)
		if m != nil || err != nil {
			return m, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		}
	}
}

// find returns a builder, or what to wait for, or the reason for which waiting is of no use.
func (p *Pool) find(platform string) (*member, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	errs, wait := []error{}, false
	for _, m := range p.members {
		err := m.lost
		if err == nil && len(m.Platforms) > 0 {
			err = m.Runs(platform)
		}
		switch {
		case err != nil:
			errs = append(errs, err)
		case m.busy:
			wait = true
		default:
			m.busy = true
			return m, nil, nil
		}
	}
	if wait {
		return nil, p.changed, nil
	}
	return nil, nil, fmt.Errorf("no builder for %s is left: %w", platform, errors.Join(errs...))
}

// put gives a builder back, or takes it out of the pool. The next work is for those that
// waited longest for theirs.
func (p *Pool) put(m *member, lost error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.busy, m.lost = false, lost
	i := slices.Index(p.members, m)
	p.members = append(slices.Delete(p.members, i, i+1), m)
	close(p.changed)
	p.changed = make(chan struct{})
}
