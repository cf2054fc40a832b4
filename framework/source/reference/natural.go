// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"cmp"
	"strings"
)

// natural orders texts by their numbers, so that 9 is before 12 and 24.04 before 24.10.
// It is 0 only for equal texts.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		var left, right string
		left, x = run(x)
		right, y = run(y)
		if order := compareRuns(left, right); order != 0 {
			return order
		}
	}
	return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b)) // 04 and 4 are one number
}

// run cuts off the digits, or the characters without digits, at the start of a text.
func run(s string) (run, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return isDigit(r) != isDigit(rune(s[0])) })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// compareRuns compares two runs, which are numbers if both are digits.
func compareRuns(a, b string) int {
	if isDigit(rune(a[0])) && isDigit(rune(b[0])) {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}
