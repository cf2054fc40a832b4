// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// MayPass tells whether the same request may have another answer later than one
// with this status.
func MayPass(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// Sleep waits, and ends early with the reason for which ctx ended.
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

// Endless retries end with their context.
const Endless = -1

// longestPause is the longest one between two tries.
const longestPause = 16 * time.Second

// Retry says how often something is tried again.
type Retry struct {
	Retries int           // after the first try, or Endless
	Pause   time.Duration // before the first retry; each one after that is twice as long
	Say     func(pause time.Duration, err error)
}

// Do calls f until it succeeds, says that another try is of no use, or was tried
// often enough.
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
