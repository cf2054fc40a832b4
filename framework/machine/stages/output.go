// SPDX-License-Identifier: Apache-2.0

package stages

import "strings"

// What is kept of the output of the commands of a step, in bytes.
const outputBytes = 4096

// An ending keeps the end of what is written to it: a command may print more
// than a node has memory. The zero value is empty.
type ending struct{ kept []byte }

// Write never fails.
func (e *ending) Write(b []byte) (int, error) {
	e.kept = append(e.kept, b...)
	if extra := len(e.kept) - 2*outputBytes; extra > 0 {
		e.kept = append(e.kept[:0], e.kept[extra:]...)
	}
	return len(b), nil
}

// tail is the end of text, without what would disturb a terminal.
func tail(text string) string {
	if extra := len(text) - outputBytes; extra > 0 {
		text = "…" + text[extra:]
	}
	return strings.Map(printable, strings.ToValidUTF8(text, "?"))
}

func printable(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
		return r
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return -1
	}
	return r
}

// maxLine is how long a line on the console or above the login prompt gets, in
// bytes.
const maxLine = 400

// oneLine is text on one line, and not a long one.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(printable, text)), " ")
	if len(text) > maxLine {
		return strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
