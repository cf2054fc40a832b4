// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A sleepyVM is reset after a while, and notes the calls to it.
type sleepyVM struct {
	until time.Duration // 0: never
	did   []string
}

func (v *sleepyVM) NextReset(ctx context.Context) error {
	v.did = append(v.did, "wait")
	if v.until == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(v.until)
	return nil
}

func (v *sleepyVM) Pause(context.Context) error  { v.did = append(v.did, "pause"); return nil }
func (v *sleepyVM) Resume(context.Context) error { v.did = append(v.did, "resume"); return nil }

// TestLend has one place, and another machine that takes it for an hour.
func TestLend(t *testing.T) {
	tests := []struct {
		name  string
		until time.Duration
		held  time.Duration
		err   error
		did   []string
	}{
		{"reset while the other one runs", 20 * time.Minute, 40 * time.Minute, nil, []string{"wait", "pause", "resume"}},
		{"reset after the other one", 90 * time.Minute, 0, nil, []string{"wait", "pause", "resume"}},
		{"never reset", 0, 0, context.DeadlineExceeded, []string{"wait"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := make(Places, 1)
				p.Take()
				go func() {
					p.Take()
					time.Sleep(time.Hour)
					p.Leave()
				}()
				synctest.Wait()
				vm := &sleepyVM{until: tt.until}
				held, err := p.Lend(t.Context(), vm, 2*time.Hour)
				if held != tt.held || !errors.Is(err, tt.err) {
					t.Errorf("got %v, %v; want %v, %v", held, err, tt.held, tt.err)
				}
				if !slices.Equal(vm.did, tt.did) {
					t.Errorf("got %v, want %v", vm.did, tt.did)
				}
				if len(p) != 1 {
					t.Errorf("%d places are taken, want the one that was lent", len(p))
				}
			})
		})
	}
}
