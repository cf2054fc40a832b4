// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// page prints blocks with an empty line between them. It leaves out a block without
// lines.
type page struct {
	w     io.Writer
	width int  // columns; 0: no limit
	begun bool // a block was printed
	err   error
}

// labelWidth is the column where the text of a fact begins.
const labelWidth = len("datasource") + 2

// facts prints rows of a label and a text. A long text continues below its beginning.
func (p *page) facts(rows func(row func(cells ...string))) {
	p.block()
	rows(func(cells ...string) {
		label := cells[0]
		for _, line := range wrap(strings.Join(cells[1:], " "), p.width-labelWidth) {
			p.line(fmt.Sprintf("%-*s%s", labelWidth, label, line))
			label = ""
		}
	})
}

// table prints rows of aligned cells. It cuts lines that are wider than the page.
func (p *page) table(rows func(row func(cells ...string))) {
	var aligned strings.Builder
	t := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	rows(func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) })
	if err := t.Flush(); err != nil {
		panic("BUG: " + err.Error()) // a write to a Builder never fails
	}
	if aligned.Len() == 0 {
		return
	}
	p.block()
	for line := range strings.Lines(aligned.String()) {
		p.line(p.cut(strings.TrimSuffix(line, "\n")))
	}
}

// list prints a title and sentences.
func (p *page) list(title string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	p.block()
	p.line(title)
	for _, s := range sentences {
		for n, line := range wrap(s, p.width-4) {
			p.line("  " + strings.Repeat("  ", min(n, 1)) + line)
		}
	}
}

func (p *page) block() {
	if p.begun {
		p.line("")
	}
	p.begun = true
}

// line prints a line without trailing spaces.
func (p *page) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(text, " "))
	}
}

func (p *page) cut(line string) string {
	if p.width <= 0 || utf8.RuneCountInString(line) <= p.width {
		return line
	}
	return string([]rune(line)[:p.width-1]) + "…"
}

// wrap breaks a text at spaces into lines of at most width columns. A longer word gets
// a line of its own. If width is 0 or less, there is one line.
func wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line = word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
