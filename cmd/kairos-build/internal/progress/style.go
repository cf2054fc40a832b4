// SPDX-License-Identifier: Apache-2.0

package progress

import "strings"

// style is the look of the live view.
type style struct {
	spinner                   []string
	ok, failed, stopped       string
	green, red, yellow, faint string // escape sequences, "" without colour
	reset                     string
}

// styleOf chooses by https://no-color.org and by what the terminal can show.
func styleOf(getenv func(string) string) style {
	s := style{
		spinner: []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"},
		ok:      "✔", failed: "✘", stopped: "◼",
	}
	if !unicodeTerminal(getenv) {
		s = style{spinner: []string{"|", "/", "-", `\`}, ok: "+", failed: "x", stopped: "-"}
	}
	if getenv("NO_COLOR") == "" {
		s.green, s.red, s.yellow, s.faint, s.reset = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
	}
	return s
}

// unicodeTerminal is false for the Linux console and for a locale that is set, but not
// to UTF-8. It is true without any locale: that is common in containers, and their
// terminals are modern.
func unicodeTerminal(getenv func(string) string) bool {
	if getenv("TERM") == "linux" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToUpper(getenv(name)); locale != "" {
			return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
		}
	}
	return true
}
