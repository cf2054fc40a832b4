// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestStepTimer: only the step that runs can be late.
func TestStepTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []string
		timer := new(stepTimer)
		for _, name := range []string{"first", "second"} {
			timer.start(stepLimit, func() { late = append(late, name) })
			time.Sleep(stepLimit / 2)
		}
		synctest.Wait()
		if len(late) != 0 {
			t.Errorf("%q are late already", late)
		}
		time.Sleep(stepLimit)
		synctest.Wait()
		if len(late) != 1 || late[0] != "second" {
			t.Errorf("%q are late, want the second", late)
		}
	})
}

// TestTimes: steps are reported in milliseconds since the kernel's start.
func TestTimes(t *testing.T) {
	if got := milliseconds(2*time.Second + 1500*time.Microsecond); got != 2001.5 {
		t.Errorf("got %v ms, want 2001.5", got)
	}
	before := sinceKernelStart()
	if after := sinceKernelStart(); before <= 0 || after < before {
		t.Errorf("%v after the start of the kernel, and then %v", before, after)
	}
}
