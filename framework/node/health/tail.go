// SPDX-License-Identifier: Apache-2.0

package health

import "strings"

// Limits of the output that is kept of a command.
const (
	tailLines = 10
	tailBytes = 4096
)

// A tail keeps the end of what is written to it. The zero value is ready to use.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(b), nil
}

// String returns the last lines.
func (t *tail) String() string {
	lines := strings.Split(strings.TrimSpace(string(t.kept)), "\n")
	return clean(strings.Join(lines[max(0, len(lines)-tailLines):], "\n"))
}

// clean removes from text what would disturb a terminal: the text comes from programs
// and servers.
func clean(text string) string { return strings.Map(printable, strings.ToValidUTF8(text, "?")) }

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r == '\n':
		return r
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return -1
	}
	return r
}
