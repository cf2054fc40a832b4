// SPDX-License-Identifier: Apache-2.0

// Package nearest finds the word that a person probably meant: the "did you
// mean" of every message.
package nearest

import "strings"

// longest is the length, in bytes, of the longest word that is compared.
const longest = 64

// Word returns the candidate that word was probably meant to be, or "".
// The distance is Damerau-Levenshtein (a swap of neighbours counts once),
// without regard to case, dashes and underscores; one edit for every three
// characters is allowed. Of equals, the first candidate wins.
func Word(word string, candidates []string) string {
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if len(c)-len(word) >= least || len(word)-len(c) >= least {
			continue // the distance is at least the difference in length
		}
		if d := Distance(fold(word), fold(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// Distance is the optimal string alignment distance of a and b, in bytes.
func Distance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
