// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseRelease reads layout.ImageRelease, which has the format of
// os-release(5): KEY=VALUE lines, comments, single and double quotes. All
// mistakes are reported at once, each an ErrBadRelease.
func ParseRelease(data []byte) (map[string]string, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: it is not UTF-8 text", ErrBadRelease)
	}
	values := map[string]string{}
	var errs []error
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, err := parseAssignment(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: line %d: %w", ErrBadRelease, number, err))
			continue
		}
		values[key] = value
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return values, nil
}

func parseAssignment(line string) (key, value string, err error) {
	key, value, ok := strings.Cut(line, "=")
	if !ok || !isKey(key) {
		return "", "", fmt.Errorf("%.100q is not KEY=VALUE", line)
	}
	value, err = unquote(value)
	return key, value, err
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
		case c == '\\' && quote != '\'' && i+1 < len(s):
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
