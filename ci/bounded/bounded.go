// SPDX-License-Identifier: Apache-2.0

// Package bounded checks, in tests, that a reader of bytes from strangers takes neither
// much memory nor much time.
package bounded

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// limit is far more than any reader needs for the small inputs of a fuzz target, also on a
// busy machine.
const limit = 20 * time.Second

// Run calls read. It reports an error if read allocates more than memory bytes in all. If
// read does not end, it stops the program, so that a fuzzer keeps the input.
func Run(t testing.TB, memory uint64, read func()) {
	t.Helper()
	late := time.AfterFunc(limit, func() { panic(fmt.Sprintf("it does not end within %v", limit)) })
	defer late.Stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > memory {
		t.Errorf("it took %d bytes of memory; want at most %d", took, memory)
	}
}
