// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// WithTimeout is context.WithTimeout by a clock that goes slower on a busy host: with
// twice as many processes that want to run as there are processors, at half the speed. A
// machine that gets half a processor has twice the time, and one that hangs ends as well.
// A limit without that fails machines for what else the host does.
func WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return withTimeout(parent, d, share)
}

func withTimeout(parent context.Context, d time.Duration, share func() float64) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for last := time.Now(); d > 0; {
			select {
			case <-ctx.Done():
				return
			case now := <-t.C:
				d -= time.Duration(float64(now.Sub(last)) * share())
				last = now
			}
		}
		cancel(context.DeadlineExceeded)
	}()
	return fairTimeout{ctx}, func() { cancel(context.Canceled) }
}

// fairTimeout is a context that says that its time, or that of one above it, is over, and
// not that it was cancelled.
type fairTimeout struct{ context.Context }

// Err implements context.Context.
func (f fairTimeout) Err() error {
	err := f.Context.Err()
	if err != nil && errors.Is(context.Cause(f.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// share is the part of a processor that a process gets on this host: at most 1, and at
// least leastShare. It is taken from the average load of the last minute.
func share() float64 {
	text, err := os.ReadFile("/proc/loadavg") // see proc_loadavg(5)
	if err != nil {
		return 1
	}
	return shareOf(string(text), runtime.NumCPU())
}

func shareOf(loadavg string, processors int) float64 {
	var load float64
	if _, err := fmt.Sscan(loadavg, &load); err != nil || load <= float64(processors) {
		return 1
	}
	return max(leastShare, float64(processors)/load)
}

// leastShare keeps a limit finite where the load is that of a larger host than the
// processors that we may use.
const leastShare = 1.0 / 8
