// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"time"
)

// Places limit how many machines run at the same time; each needs one place. In
// emulation a machine takes a whole CPU, and with less it exceeds its time limits. A
// machine that only waits needs no place and lends it to another one: see Lend. (In
// emulation, a guest whose process 1 stands still takes 2 % of a CPU, and a booting
// guest all of it.)
type Places chan struct{}

// Take waits for a place. The first machine to wait is the first to get one.
func (p Places) Take() { p <- struct{}{} }

// Leave gives the place to the next machine.
func (p Places) Leave() { <-p }

// A sleeper is a machine whose guest does nothing until it is reset.
type sleeper interface {
	NextReset(context.Context) error
	Pause(context.Context) error
	Resume(context.Context) error
}

// Lend gives the place away until vm is reset, for limit at most. Then the guest is
// paused until a place is free again, so that it takes no CPU from other machines. held
// is the time of that pause. Lend always takes a place back, even after an error, as
// the machine leaves it at its end.
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
