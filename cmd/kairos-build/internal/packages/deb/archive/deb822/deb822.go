// SPDX-License-Identifier: Apache-2.0

// Package deb822 reads the stanzas of Debian's control files (deb822(5)):
// "Name: value" lines, continuation lines that begin with a space or a tab,
// stanzas separated by empty lines, comment lines that begin with '#'.
package deb822

import (
	"fmt"
	"strings"
)

// A Field is one field of a stanza. Value is verbatim without its leading blanks.
// Newlines join the continuation lines, each with its leading space.
type Field struct{ Name, Value string }

// A Stanza is the fields of one paragraph, in their order.
type Stanza []Field

// Get returns the value of a field without trailing blanks, or "". The case of the
// name does not matter.
func (s Stanza) Get(name string) string {
	return strings.TrimRight(s.Raw(name), " \t\n")
}

// Raw returns the value of a field as it stands, or "".
func (s Stanza) Raw(name string) string {
	for _, f := range s {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Words returns the blank-separated words of a field.
func (s Stanza) Words(name string) []string { return strings.Fields(s.Get(name)) }

// Lines returns the lines of a multi-line field, trimmed and without empty ones.
func (s Stanza) Lines(name string) []string {
	var out []string
	for line := range strings.SplitSeq(s.Get(name), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// Parse reads every stanza of a file. Errors name the line.
func Parse(text string) ([]Stanza, error) {
	p := parser{seen: map[string]bool{}}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if err := p.line(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	p.end()
	return p.all, nil
}

type parser struct {
	all  []Stanza
	cur  Stanza
	more []string // continuation lines of the last field of cur
	seen map[string]bool
}

// close joins all lines of the last field at once: a Release has a thousand.
func (p *parser) close() {
	if len(p.more) > 0 {
		f := &p.cur[len(p.cur)-1]
		f.Value += "\n" + strings.Join(p.more, "\n")
		p.more = p.more[:0]
	}
}

func (p *parser) end() {
	p.close()
	if len(p.cur) > 0 {
		p.all = append(p.all, p.cur)
	}
	p.cur = nil
	clear(p.seen)
}

func (p *parser) line(s string) error {
	switch {
	case strings.Trim(s, " \t") == "":
		p.end()
	case s[0] == '#':
	case s[0] == ' ' || s[0] == '\t':
		return p.continuation(s)
	default:
		return p.field(s)
	}
	return nil
}

func (p *parser) continuation(s string) error {
	if len(p.cur) == 0 {
		return fmt.Errorf("continuation %q belongs to no field", s)
	}
	p.more = append(p.more, s)
	return nil
}

func (p *parser) field(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if !ok || !validName(name) {
		return fmt.Errorf("%q is no field: want \"Name: value\"", s)
	}
	key := strings.ToLower(name)
	if p.seen[key] {
		return fmt.Errorf("field %q stands twice in one stanza", name)
	}
	p.seen[key] = true
	p.close()
	p.cur = append(p.cur, Field{name, strings.TrimLeft(value, " \t")})
	return nil
}

// validName follows deb822(5): printable ASCII without space and colon, not beginning
// with '#' or '-'.
func validName(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '#' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
