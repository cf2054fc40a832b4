// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// seconds formats a duration: 0.3s, 12.3s, 2m05s.
func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
}

// size shows bytes with one decimal in binary units.
func size(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range units {
		value /= 1024
		if value < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// amount shows bytes done of total, and the rate in bytes per second.
func amount(done, total, rate int64) string {
	var b strings.Builder
	b.WriteString(size(done))
	if total > 0 {
		fmt.Fprintf(&b, " of %s", size(total))
	}
	if rate > 0 {
		fmt.Fprintf(&b, ", %s/s", size(rate))
	}
	return b.String()
}

// clean makes a line of output safe to show. It removes escape sequences, control
// characters, and text that a carriage return would have overwritten.
func clean(line string) string {
	line = strings.TrimRight(line, "\r\n ")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	line = dropEscapes(line)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, line)
}

// dropEscapes removes ANSI control sequences (ECMA-48: ESC [ parameters final)
// and two-character escapes.
func dropEscapes(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, 0x1b)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if !strings.HasPrefix(s, "[") {
			s = s[min(1, len(s)):]
			continue
		}
		end := strings.IndexFunc(s[1:], func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			return b.String()
		}
		s = s[1+end+1:]
	}
	b.WriteString(s)
	return b.String()
}

// cut shortens s to width columns. Each character counts as one column.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width <= 1 {
		return strings.Repeat("…", max(width, 0))
	}
	return string([]rune(s)[:width-1]) + "…"
}

// wrap breaks text between words into lines of at most width characters; a longer word is
// broken, too. There is at least one line.
func wrap(text string, width int) []string {
	var lines []string
	line := []rune{}
	for word := range strings.FieldsSeq(text) {
		next := []rune(word)
		if len(line) > 0 && len(line)+1+len(next) <= width {
			line = append(append(line, ' '), next...)
			continue
		}
		if len(line) > 0 {
			lines = append(lines, string(line))
		}
		for len(next) > width {
			lines = append(lines, string(next[:width]))
			next = next[width:]
		}
		line = next
	}
	return append(lines, string(line))
}

// firstLine is the first line of an error, made safe to show.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return clean(line)
}
