// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// example has two runs: one of every row, and a later one of memory alone.
func example() *Report {
	facts := Facts{CPU: "Some Processor", Cores: 2, MemoryGiB: 23.54, Kernel: "6.1.0", System: "Debian GNU/Linux 12 (bookworm)",
		Load: "0.10 0.20 0.30", Program: "kairos-build v0.1.0", Go: "go1.26.8", Rivals: []Version{{"mkosi", "25.3"}}}
	all := Run{facts, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 3*time.Hour + 29*time.Minute + 31*time.Second, 3}
	facts.Rivals = nil
	one := Run{facts, time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), 5 * time.Minute, 3}
	return &Report{[]Row{
		{Key: "cold", Run: all, Results: []Result{
			{What: "cold", Unit: "s", Ours: Series{60, 66, 63}, Rival: Series{120, 110, 126}, RivalName: "mkosi", Goal: 0.7, Note: "From nothing."},
		}},
		{Key: "memory", Run: one, Results: []Result{{What: "memory", Unit: "MiB", Ours: Series{300, 310, 299}, Goal: 600, Note: "Sum of PSS."}}},
		{Key: "again", Run: all, Results: []Result{{What: "again", Unit: "s", Ours: Series{1.2, 1.1, 1.3}, Goal: 1, Note: "The same."}}},
		{Key: "disk", Run: all, Results: []Result{{What: "disk", Unit: "s", Ours: Series{5, 5, 5}, Note: "Alone."}}},
		{Key: "boot", Run: all, Failure: "row boot: no QEMU\nand more"},
	}}
}

func TestMarkdown(t *testing.T) {
	golden.Check(t, "testdata/bench.md", example().Markdown())
}

// TestKeep replaces one row, and reads the others back.
func TestKeep(t *testing.T) {
	page := filepath.Join(t.TempDir(), "bench.md")
	if err := example().write(page); err != nil {
		t.Fatal(err)
	}
	old, err := readReport(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), old); diff != "" {
		t.Errorf("written and read: -want +got:\n%s", diff)
	}
	boot := Row{Key: "boot", Results: []Result{{What: "boot", Ours: Series{40}}}}
	want := append(slices.Clone(old.Rows[:4]), boot)
	if diff := cmp.Diff(want, (&Report{[]Row{boot}}).keep(old).Rows); diff != "" {
		t.Errorf("boot measured again: -want +got:\n%s", diff)
	}
	if none, err := readReport(page + ".other"); err != nil || len(none.Rows) > 0 {
		t.Errorf("no figures: got %v, %v", none, err)
	}
	if err := os.WriteFile(dataPath(page), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readReport(page); err == nil || !strings.Contains(err.Error(), "-only") {
		t.Errorf("broken figures: got %v", err)
	}
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
