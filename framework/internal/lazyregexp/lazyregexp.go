// SPDX-License-Identifier: Apache-2.0

// Package lazyregexp compiles a regular expression when it is first used. A
// table of a package can then hold expressions without a cost for each start of a
// program: several programs of a node start at every boot.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression, compiled at its first use.
type Regexp struct {
	text    string
	compile func() *regexp.Regexp
}

// New takes an expression that must be valid. In a test it is compiled at once,
// so that one with a mistake is seen.
func New(text string) *Regexp {
	re := &Regexp{text: text, compile: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
	if strings.HasSuffix(os.Args[0], ".test") {
		re.compile()
	}
	return re
}

// String is the expression as it was given.
func (r *Regexp) String() string { return r.text }

// MatchString is as regexp.Regexp has it.
func (r *Regexp) MatchString(s string) bool { return r.compile().MatchString(s) }

// FindStringSubmatch is as regexp.Regexp has it.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compile().FindStringSubmatch(s) }

// ReplaceAllString is as regexp.Regexp has it.
func (r *Regexp) ReplaceAllString(s, with string) string {
	return r.compile().ReplaceAllString(s, with)
}
