// SPDX-License-Identifier: Apache-2.0

// Package lazyregexp compiles a regular expression at its first use. So expressions
// in a package's tables do not slow down the start of a program: several programs of
// a node start at every boot.
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

// New takes an expression, which must be valid. In a test it compiles the expression
// at once, so that a mistake shows.
func New(text string) *Regexp {
	re := &Regexp{text: text, compile: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
	if strings.HasSuffix(os.Args[0], ".test") {
		re.compile()
	}
	return re
}

// String returns the text of the expression.
func (r *Regexp) String() string { return r.text }

// MatchString is that of regexp.Regexp.
func (r *Regexp) MatchString(s string) bool { return r.compile().MatchString(s) }

// FindStringSubmatch is that of regexp.Regexp.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compile().FindStringSubmatch(s) }

// ReplaceAllString is that of regexp.Regexp.
func (r *Regexp) ReplaceAllString(s, with string) string {
	return r.compile().ReplaceAllString(s, with)
}
