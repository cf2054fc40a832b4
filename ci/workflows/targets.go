// SPDX-License-Identifier: Apache-2.0

package workflows

import (
	"regexp"
	"strings"
)

// Targets are the targets of make that a script calls.
func Targets(script string) (list []string) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		for len(words) > 0 && (words[0] == "-" || words[0] == "RUN" || words[0] == "--privileged") {
			words = words[1:]
		}
		if len(words) == 0 || words[0] != "make" {
			continue
		}
		list = append(list, targetsOf(words[1:])...)
	}
	return list
}

func targetsOf(words []string) (list []string) {
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "-C":
			i++
		case strings.HasPrefix(words[i], "-") || strings.Contains(words[i], "="):
		default:
			list = append(list, words[i])
		}
	}
	return list
}

// HasTarget tells whether a Makefile has a target.
func HasTarget(makefile, target string) bool {
	return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).MatchString(makefile)
}
