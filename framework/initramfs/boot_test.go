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
		late := make(chan string, 2)
		timer := new(stepTimer)
		for _, name := range []string{"first", "second"} {
			timer.start(stepLimit, func() { late <- name })
			time.Sleep(stepLimit / 2)
		}
		synctest.Wait()
		if len(late) != 0 {
			t.Errorf("%s is late already", <-late)
		}
		time.Sleep(stepLimit)
		synctest.Wait()
		if n, name := len(late), <-late; n != 1 || name != "second" {
			t.Errorf("%d are late, and the first of them is %s; want the second alone", n, name)
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
