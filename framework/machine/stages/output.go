// SPDX-License-Identifier: Apache-2.0

package stages

import "strings"

// outputBytes is how much of the output of a step's commands is kept.
const outputBytes = 4096

// An ending keeps the end of the text written to it: the output of a command may
// exceed the node's memory. The zero value is empty.
type ending struct{ kept []byte }

// Write never fails.
func (e *ending) Write(b []byte) (int, error) {
	e.kept = append(e.kept, b...)
	if extra := len(e.kept) - 2*outputBytes; extra > 0 {
		e.kept = append(e.kept[:0], e.kept[extra:]...)
	}
	return len(b), nil
}

// tail returns the end of text, without control characters.
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

// maxLine is the longest line on the console or above the login prompt, in bytes.
const maxLine = 400

// oneLine returns text on one line, cut to maxLine.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(printable, text)), " ")
	if len(text) > maxLine {
		return strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
