// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Severity says what a problem does to the file that has it.
type Severity string

const (
	// Error: something is wrong, and what it costs is not applied: see Costs.
	Error Severity = "error"
	// Warning: the file is applied as it is; someone should look at it.
	Warning Severity = "warning"
	// NotImplemented: the key is a known one that this version does not act
	// on. The rest of the file is applied.
	NotImplemented Severity = "not-implemented"
)

// A Position is a place in a file. Line and Column start at 1; the column
// counts characters, not bytes.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String prints p as editors and compilers do: file:line:column.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// A Problem is one message about a file. It is printed as
//
//	oem/90.yaml:3:5: users[0].paswd: unknown key; did you mean "passwd"?
//
// Detail adds the line of the file and a caret.
type Problem struct {
	Position
	Path       string   `json:"path,omitempty"` // of the key, such as users[0].passwd
	Message    string   `json:"message"`
	Suggestion string   `json:"suggestion,omitempty"` // what to do, as a phrase
	Severity   Severity `json:"severity"`

	// Costs are the paths that are left out because of an Error. If there are
	// none, the whole file is left out.
	Costs []string `json:"costs,omitempty"`

	Whole bool `json:"-"` // the whole file is left out, though the problem has a path
	// source is the line of the file, without the values of secret keys. It is
	// not part of the JSON document, which everybody may read.
	source string
}

// Error is the problem on one line. It never holds the value of a secret key.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Position.String() + ": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		b.WriteString("; " + p.Suggestion)
	}
	return b.String()
}

// Detail is Error, the line of the file and a caret below the place.
func (p Problem) Detail() string {
	if p.source == "" {
		return p.Error()
	}
	gutter := fmt.Sprintf("%5d | ", p.Line)
	line, column := p.window()
	return p.Error() + "\n" + gutter + line + "\n" +
		strings.Repeat(" ", len(gutter)-2) + "| " + indent(line, column-1) + "^"
}

// window is the part of a long line around the place, and the column in that part.
func (p Problem) window() (line string, column int) {
	const before = 60 // characters that are shown before the place
	if p.Column <= shownWidth {
		return shortened(p.source), p.Column
	}
	cutOff := p.Column - 1 - before
	return "…" + shortened(strings.TrimPrefix(p.source, cut(p.source, cutOff))), before + 2
}

// indent is as wide as the first n characters of line: tabs stay tabs.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Problems are all the problems of one file or of several, in file order.
type Problems []Problem

// Error prints every problem with its line and caret.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Detail()
	}
	return strings.Join(lines, "\n")
}

// Only returns the problems of one severity.
func (ps Problems) Only(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Failed tells whether some problem is an Error.
func (ps Problems) Failed() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}

// Err is the problems as an error when one of them is an Error, else nil.
func (ps Problems) Err() error {
	if ps.Failed() {
		return ps
	}
	return nil
}

// Refused tells whether some problem costs the whole file.
func (ps Problems) Refused() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error && len(p.Costs) == 0 })
}

// Without drops the problems that others has.
func (ps Problems) Without(others Problems) Problems {
	told := map[string]bool{}
	for _, p := range others {
		told[p.Error()] = true
	}
	return slices.DeleteFunc(ps, func(p Problem) bool { return told[p.Error()] })
}

// Costs are the paths of everything that is left out of the file, each once.
func (ps Problems) Costs() []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range ps {
		for _, cost := range p.Costs {
			if !seen[cost] {
				out = append(out, cost)
			}
			seen[cost] = true
		}
	}
	return out
}

// Sorted sorts the problems by line and column, in place.
func (ps Problems) Sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return ps
}

// cut is the first n characters of line.
func cut(line string, n int) string {
	for i := range line {
		if n == 0 {
			return line[:i]
		}
		n--
	}
	return line
}

// shownWidth is how much of a line is shown, in characters.
const shownWidth = 160

// Printable replaces characters that disturb a terminal, and shortens long lines.
func Printable(line string) string { return shortened(undisturbing(line)) }

func shortened(line string) string {
	if utf8.RuneCountInString(line) > shownWidth {
		return cut(line, shownWidth) + "…"
	}
	return line
}

// undisturbing replaces characters that disturb a terminal.
func undisturbing(line string) string {
	if !utf8.ValidString(line) {
		line = strings.ToValidUTF8(line, "\uFFFD")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, line)
}
