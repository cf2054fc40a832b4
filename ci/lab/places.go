// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"time"
)

// Places are for the machines that run at the same time, one each: in emulation
// a machine takes a whole CPU, and one that has less than that needs longer than
// its time limits. A machine that only waits needs none (a guest whose process 1
// stands still takes 2 % of a CPU in emulation, one that boots all of it), and lends
// its place to another one: see Lend.
type Places chan struct{}

// Take waits for a place; who came first gets it first.
func (p Places) Take() { p <- struct{}{} }

// Leave gives the place to the next one.
func (p Places) Leave() { <-p }

// A sleeper is a machine whose guest does nothing until it is reset.
type sleeper interface {
	NextReset(context.Context) error
	Pause(context.Context) error
	Resume(context.Context) error
}

// Lend gives a place away until vm is reset, for limit at most. Then the guest
// is paused until there is a place again, so that it costs nobody's CPU: held is
// for how long. The place is taken back whatever happens, as its end leaves it.
func (p Places) Lend(ctx context.Context, vm sleeper, limit time.Duration) (held time.Duration, err error) {
	p.Leave()
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = vm.NextReset(short)
	if err == nil {
		err = vm.Pause(ctx)
	}
	begin := time.Now()
	p.Take()
	held = time.Since(begin)
	if err == nil {
		err = vm.Resume(ctx)
	}
	return held, err
}
