// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// MayPass tells whether an answer with this status may pass: the same request may
// get another answer later.
func MayPass(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// Sleep waits for d. If ctx ends before, Sleep returns the cause.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Endless is a Retry.Retries without a limit: only the context ends it.
const Endless = -1

// longestPause is the longest pause between two tries, unless the first one is
// longer.
const longestPause = 16 * time.Second

// Retry says how often and when to try again.
type Retry struct {
	Retries int           // after the first try, or Endless
	Pause   time.Duration // before the first retry; each one after that is twice as long
	Say     func(pause time.Duration, err error)
}

// Do calls f until f succeeds, f reports that another try is of no use (again is
// false), the retries are used up, or ctx ends.
func (r Retry) Do(ctx context.Context, f func() (again bool, err error)) error {
	pause := r.Pause
	for n := 1; ; n++ {
		again, err := f()
		if err == nil || !again {
			return err
		}
		last := ctx.Err() != nil || r.Retries != Endless && n > r.Retries
		if !last {
			r.Say(pause, err)
			last = Sleep(ctx, pause) != nil
		}
		if last {
			return fmt.Errorf("%w; gave up after %d attempts", err, n)
		}
		pause = min(2*pause, longestPause)
	}
}
