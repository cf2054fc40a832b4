// SPDX-License-Identifier: Apache-2.0

package kmod

import "strings"

// match reports whether name matches the shell pattern of an alias, as
// fnmatch(3) without flags does: *, ?, [a-z], [!a-z] and \x; a slash is an
// ordinary character. The time is at most len(pattern) times len(name).
func match(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0 // where to go on after a mismatch: the last star
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, n
			p++
			continue
		}
		if size, ok := matchOne(pattern[p:], name[n]); ok {
			p, n = p+size, n+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, n = star+1, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne compares c with the first element of pattern, and returns the element's
// length in bytes.
func matchOne(pattern string, c byte) (size int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	case '[':
		if size, in, ok := matchClass(pattern, c); ok {
			return size, in
		}
	}
	return 1, pattern[0] == c
}

// matchClass reads a bracket expression. A bracket that is never closed is an
// ordinary character: then ok is false.
func matchClass(pattern string, c byte) (size int, in, ok bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := i; i < len(pattern); i++ {
		low := pattern[i]
		if low == ']' && i > first {
			return i + 1, in != negated, true
		}
		high := low
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			high = pattern[i+2]
			i += 2
		}
		in = in || low <= c && c <= high
	}
	return 0, false, false
}
