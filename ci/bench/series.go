// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Series holds all values of one measurement, in order.
type Series []float64

// Median is the value in the middle, or the mean of the two in the middle. It is NaN for
// an empty series.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(s))
	mid := len(v) / 2
	if len(v)%2 == 1 {
		return v[mid]
	}
	return (v[mid-1] + v[mid]) / 2
}

// Ratios divides s by other, pair by pair.
func (s Series) Ratios(other Series) Series {
	out := make(Series, min(len(s), len(other)))
	for i := range out {
		out[i] = s[i] / other[i]
	}
	return out
}

// Cell is the median with its unit, and the range if there are several values: "3.20 s
// (3.10–3.91)".
func (s Series) Cell(unit string) string {
	if len(s) == 0 {
		return "–"
	}
	text := figure(s.Median()) + unitSuffix(unit)
	if len(s) > 1 {
		text += fmt.Sprintf(" (%s–%s)", figure(slices.Min(s)), figure(slices.Max(s)))
	}
	return text
}

// List is every value: "3.10, 3.20, 3.91 s".
func (s Series) List(unit string) string {
	words := make([]string, len(s))
	for i, v := range s {
		words[i] = figure(v)
	}
	return strings.Join(words, ", ") + unitSuffix(unit)
}

// figure formats a value below 1000 with up to three significant digits, and no value
// with an exponent.
func figure(v float64) string {
	switch {
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func unitSuffix(unit string) string {
	if unit == "" {
		return ""
	}
	return " " + unit
}
