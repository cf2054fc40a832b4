// SPDX-License-Identifier: Apache-2.0

// Package osrelease reads os-release(5), and other files of the same format,
// such as /etc/kairos-release and locale.conf(5): KEY=VALUE lines, comments, and
// the quotes of a shell.
package osrelease

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrSyntax is wrapped by the error for each mistake that Parse finds.
var ErrSyntax = errors.New("bad release file")

// Of reads the os-release of a root with read, which reads a file of that root. The
// result is empty if there is no os-release. Of ignores the errors of Parse.
func Of(read func(name string) ([]byte, error)) map[string]string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		if data, err := read(name); err == nil {
			values, _ := Parse(data)
			return values
		}
	}
	return nil
}

// Parse reads all lines. The error joins every mistake. Parse returns the values all
// the same: a value that breaks the rules loses only its outer quotes.
func Parse(data []byte) (map[string]string, error) {
	values := map[string]string{}
	if !utf8.Valid(data) {
		return values, fmt.Errorf("%w: it is not UTF-8 text", ErrSyntax)
	}
	var errs []error
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, ok := strings.Cut(line, "=")
		if !ok || !isKey(key) {
			errs = append(errs, fmt.Errorf("%w: line %d: %.100q is not KEY=VALUE", ErrSyntax, number, line))
			continue
		}
		value, err := unquote(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: line %d: %w", ErrSyntax, number, err))
			value = strings.Trim(text, `"'`)
		}
		values[key] = value
	}
	return values, errors.Join(errs...)
}

func isKey(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// escaped are the characters that a backslash escapes between double quotes; before
// others it stands for itself.
const escaped = "\"$`\\"

// unquote undoes the quoting of a value. Text after the closing quote is an
// error, as is a quote or a blank in a value without quotes.
func unquote(s string) (string, error) {
	quote := byte(0)
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		quote, s = s[0], s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote && quote != 0:
			if i != len(s)-1 {
				return "", fmt.Errorf("text after the closing quote: %.100q", s[i+1:])
			}
			return b.String(), nil
		case c == '\\' && i+1 < len(s) && (quote == 0 || quote == '"' && strings.IndexByte(escaped, s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		case quote == 0 && strings.IndexByte("\"' \t$`\\", c) >= 0:
			return "", fmt.Errorf("%q in a value without quotes", c)
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", fmt.Errorf("the closing %c is missing", quote)
	}
	return b.String(), nil
}
