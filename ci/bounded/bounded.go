// SPDX-License-Identifier: Apache-2.0

// Package bounded checks, in tests, that a reader of bytes from strangers takes neither
// much memory nor much time.
package bounded

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limit is far more than any reader needs for the small inputs of a fuzz target. It is the
// time of processors that this program used: a busy machine changes nothing.
const limit = time.Minute

// Run calls read. It reports an error if read allocates more than memory bytes in all. If
// read does not end, it stops the program, so that a fuzzer keeps the input.
func Run(t testing.TB, memory uint64, read func()) {
	t.Helper()
	defer watch()()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > memory {
		t.Errorf("it took %d bytes of memory; want at most %d", took, memory)
	}
}

// watch stops the program when it has used limit. The function that it returns ends that.
func watch() (end func()) {
	begin, done := used(), make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				if used()-begin > limit {
					panic(fmt.Sprintf("it does not end within %v of processor time", limit))
				}
			}
		}
	}()
	return func() { close(done) }
}

// used is the time of processors that this program used.
func used() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic("BUG: reading the time of this program: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
