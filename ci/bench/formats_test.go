// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestFormatLines checks the lines of docs/bench.md about the formats of disks.
func TestFormatLines(t *testing.T) {
	x := formatTimes{raw: Series{2, 2}, rawCPU: Series{1, 1}, five: Series{3, 5}, fiveCPU: Series{4, 4}, converted: Series{8, 10}}
	r := &Report{[]Row{{Key: "formats", Run: Run{Date: time.Unix(0, 0), N: 2}, Results: x.results()}}}
	golden.Check(t, "testdata/formats.md", r.Markdown())
}
