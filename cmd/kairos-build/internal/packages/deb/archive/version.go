// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"strings"
)

// CompareVersions orders two Debian versions, [epoch:]upstream[-revision], by
// deb-version(7): negative if a is earlier, 0 if equal, positive if later. A tilde
// sorts before everything, even the end of a part. An epoch that is no number counts
// as text of the upstream part, so the order is total.
func CompareVersions(a, b string) int {
	ea, ua, ra := splitVersion(a)
	eb, ub, rb := splitVersion(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c
	}
	if c := comparePart(ua, ub); c != 0 {
		return c
	}
	return comparePart(ra, rb)
}

// splitVersion returns an absent epoch or revision as empty, which compares like 0.
func splitVersion(v string) (epoch, upstream, revision string) {
	if i := strings.IndexByte(v, ':'); i >= 0 && digits(v[:i]) == i {
		epoch, v = v[:i], v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		v, revision = v[:i], v[i+1:]
	}
	return epoch, v, revision
}

// comparePart compares alternating runs of non-digits and digits.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		na, nb := nonDigits(a), nonDigits(b)
		if c := compareText(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
		na, nb = digits(a), digits(b)
		if c := compareNumbers(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

func compareText(a, b string) int {
	for i := 0; i < len(a) || i < len(b); i++ {
		if c := cmp.Compare(weight(a, i), weight(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

// weight is the sort order of the i-th byte: tilde, end of s, letters, all others.
func weight(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	switch c := s[i]; {
	case c == '~':
		return -1
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return int(c)
	default:
		return int(c) + 256
	}
}

// compareNumbers compares digit strings of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func nonDigits(s string) int {
	n := 0
	for n < len(s) && (s[n] < '0' || s[n] > '9') {
		n++
	}
	return n
}
