// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"strings"
	"testing"
)

// recorder keeps the errors of a test.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.said = append(r.said, format) }

func TestRun(t *testing.T) {
	var kept []byte
	r := &recorder{TB: t}
	Run(r, 2<<20, func() { kept = make([]byte, 1<<20) })
	if len(r.said) > 0 {
		t.Errorf("1 MiB of 2: %v", r.said)
	}
	Run(r, 2<<20, func() { kept = make([]byte, 4<<20) })
	if len(r.said) != 1 || !strings.Contains(r.said[0], "bytes of memory") {
		t.Errorf("4 MiB of 2: %v", r.said)
	}
	_ = kept
}
