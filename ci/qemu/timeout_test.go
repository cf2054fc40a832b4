// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeoutOnABusyHost: a quarter of a processor means four times the time.
func TestTimeoutOnABusyHost(t *testing.T) {
	for _, tt := range []struct {
		share float64
		want  time.Duration
	}{{1, time.Minute}, {0.25, 4 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			ctx, cancel := withTimeout(t.Context(), time.Minute, func() float64 { return tt.share })
			defer cancel()
			<-ctx.Done()
			if got := time.Since(begin); got != tt.want || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("with %v of a processor it ended after %v with %v, want %v", tt.share, got, ctx.Err(), tt.want)
			}
		})
	}
}

// TestTimeoutOfAnOuterLimit: the inner one says that the time is over, too.
func TestTimeoutOfAnOuterLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := withTimeout(t.Context(), time.Minute, func() float64 { return 1 })
		defer cancel()
		inner, stop := withTimeout(outer, time.Hour, func() float64 { return 1 })
		defer stop()
		<-inner.Done()
		if !errors.Is(inner.Err(), context.DeadlineExceeded) {
			t.Errorf("got %v", inner.Err())
		}
	})
}

// TestTimeoutIsCancelled: an end before the limit is no timeout.
func TestTimeoutIsCancelled(t *testing.T) {
	parent, stop := context.WithCancel(t.Context())
	ctx, cancel := WithTimeout(parent, time.Hour)
	defer cancel()
	stop()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("got %v", ctx.Err())
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]float64{
		"0.10 0.2 0.3 1/100 7\n": 1, "64.00 1 1 9/100 7": 0.125, "2.00 0 0 1/1 7": 1, "8.00 1 1 9/100 7": 0.25, "nonsense": 1,
	} {
		if got := shareOf(text, 2); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
