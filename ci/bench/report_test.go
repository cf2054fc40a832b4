// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestMarkdown(t *testing.T) {
	r := &Report{
		Facts: Facts{CPU: "Some Processor", Cores: 2, MemoryGiB: 23.54, Kernel: "6.1.0", System: "Debian GNU/Linux 12 (bookworm)",
			Load: "0.10 0.20 0.30", Program: "kairos-build v0.1.0", Go: "go1.26.8", Rivals: []Version{{"mkosi", "25.3"}}},
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 3*time.Hour + 29*time.Minute + 31*time.Second, N: 3,
		Results: []Result{
			{What: "cold", Unit: "s", Ours: Series{60, 66, 63}, Rival: Series{120, 110, 126}, RivalName: "mkosi", Goal: 0.7, Note: "From nothing."},
			{What: "again", Unit: "s", Ours: Series{1.2, 1.1, 1.3}, Goal: 1, Note: "The same."},
			{What: "memory", Unit: "MiB", Ours: Series{300, 310, 299}, Goal: 600, Note: "Sum of PSS."},
			{What: "disk", Unit: "s", Ours: Series{5, 5, 5}, Note: "Alone."},
		},
		Failures: []Failure{{"boot", "row boot: no QEMU\nand more"}},
	}
	golden.Check(t, "testdata/bench.md", r.Markdown())
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		name   string
		result Result
		want   string
	}{
		{"met", Result{Ours: Series{0.5}, Goal: 1}, "met, 50% below"},
		{"exactly", Result{Ours: Series{1}, Goal: 1}, "met, 0% below"},
		{"missed", Result{Ours: Series{5.5}, Goal: 5}, "**missed**, 10.0% above"},
		{"missed by little", Result{Ours: Series{5.01}, Goal: 5}, "**missed**, 0.20% above"},
		{"the ratio counts", Result{Ours: Series{80}, Rival: Series{100}, Goal: 0.7}, "**missed**, 14.3% above"},
		{"no goal", Result{Ours: Series{80}}, "for information"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.result.Verdict(); got != tt.want {
				t.Errorf("Verdict() = %q, want %q", got, tt.want)
			}
		})
	}
}
