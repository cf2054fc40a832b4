// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"cmp"
	"fmt"
	"strings"
)

// Markdown is the report as Markdown. With links, it links to the files in the folder of the
// report; a summary that is shown elsewhere has none.
func (r *Report) Markdown(links bool) []byte {
	m := markdown{links: links}
	fmt.Fprintf(&m, "# Support matrix\n\n%s\n", r.summary())
	m.matrix(r)
	m.figures(r)
	m.failures(r)
	return []byte(m.String())
}

type markdown struct {
	strings.Builder
	links bool
}

// row writes a row of a table.
func (m *markdown) row(cells ...string) { fmt.Fprintf(m, "| %s |\n", strings.Join(cells, " | ")) }

// head writes the first two rows of a table.
func (m *markdown) head(cells ...string) {
	m.WriteString("\n")
	m.row(cells...)
	m.WriteString("|" + strings.Repeat("---|", len(cells)) + "\n")
}

// link is a text that links to a path, if there is one.
func (m *markdown) link(text, path string) string {
	if !m.links || path == "" {
		return text
	}
	return fmt.Sprintf("[%s](<%s>)", text, path)
}

func (m *markdown) matrix(r *Report) {
	columns := r.columns()
	head := []string{""}
	for _, c := range columns {
		head = append(head, escaped(c.Title()))
	}
	m.head(head...)
	for _, line := range []struct {
		name string
		of   func(column) string
	}{
		{"result", func(c column) string { v := c.Verdict(); return v.Mark + " " + v.Text }},
		{"version", func(c column) string { return escaped(c.Version) }},
		{"image", func(c column) string { return m.link("`"+c.Short()+"`", c.Facts()) }},
		{"attestation", func(c column) string { return m.link(c.Attested(), c.AttestedPath()) }},
		{"day", func(c column) string { return escaped(c.Day()) }},
		{"machine", func(c column) string { return escaped(c.How()) }},
	} {
		cells := []string{line.name}
		for _, c := range columns {
			cells = append(cells, line.of(c))
		}
		m.row(cells...)
	}
	for _, line := range r.rows() {
		cells := []string{escaped(line.Title)}
		for _, c := range line.Cells {
			text := c.Mark
			if c.Anchor != "" {
				text += " " + c.Text
			}
			cells = append(cells, m.link(text, c.Log))
		}
		m.row(cells...)
	}
}

func (m *markdown) figures(r *Report) {
	m.head("image", "boot", "size", "upgrade from the image before", "files")
	for _, c := range r.columns() {
		value := func(p plot) string {
			if len(p.points) == 0 {
				return "–"
			}
			f := p.figure()
			return strings.TrimSpace(f.Value + " " + bracketed(f.Change))
		}
		files := "–"
		if len(c.Packages) > 0 {
			files = c.Unpacked()
		}
		m.row(escaped(c.Title()), value(c.runs.boot()), value(c.runs.size()), value(c.runs.upgrade()), files)
	}
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// failures lists what did not pass.
func (m *markdown) failures(r *Report) {
	first := true
	for _, c := range r.columns() {
		for _, machine := range c.Machines() {
			for _, check := range machine.Checks {
				if check.Status == pass {
					continue
				}
				if first {
					m.head("image", "machine", "check", "why")
				}
				first = false
				why, _, _ := strings.Cut(strings.TrimSpace(check.Message), "\n")
				m.row(escaped(c.Title()), m.link(escaped(machine.Title), c.Path(machine.Log)), check.verdict().Mark+" "+escaped(check.Title), escaped(cmp.Or(why, "–")))
			}
		}
	}
}

// escaped is a text that Markdown shows as it is.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "#", `\#`, "\r", " ", "\n", " ").Replace(text)
}
