// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		name   string
		series Series
		want   float64
	}{
		{"one", Series{4}, 4},
		{"odd, not sorted", Series{9, 1, 5}, 5},
		{"even", Series{4, 1, 3, 2}, 2.5},
		{"an outlier", Series{1, 1, 1, 1, 100}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := append(Series(nil), tt.series...)
			if got := tt.series.Median(); got != tt.want {
				t.Errorf("Median() = %v, want %v", got, tt.want)
			}
			if diff := cmp.Diff(before, tt.series); diff != "" {
				t.Errorf("the order of measurement is lost (-before +after):\n%s", diff)
			}
		})
	}
	if got := (Series{}).Median(); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v, want NaN", got)
	}
}

func TestRatios(t *testing.T) {
	// The median of the ratios is not the ratio of the medians.
	got := Series{10, 30, 20}.Ratios(Series{20, 30, 80, 9})
	if diff := cmp.Diff(Series{0.5, 1, 0.25}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCell(t *testing.T) {
	tests := []struct {
		series Series
		unit   string
		want   string
	}{
		{nil, "s", "–"},
		{Series{0.784}, "s", "0.78 s"},
		{Series{12.34, 10, 345.6}, "MiB", "12.3 MiB (10.0–346)"},
		{Series{0.5, 0.7}, "", "0.60 (0.50–0.70)"},
	}
	for _, tt := range tests {
		if got := tt.series.Cell(tt.unit); got != tt.want {
			t.Errorf("%v.Cell(%q) = %q, want %q", tt.series, tt.unit, got, tt.want)
		}
	}
}
