// SPDX-License-Identifier: Apache-2.0

// Package grubenv reads and writes GRUB's environment block, the file in which the boot
// loader keeps its state between boots. It owns the format and does not know the meaning
// of the variables; see framework/grub/bootconf.
//
// A block has 1024 bytes: the line "# GRUB Environment Block", then lines
// "name=value" in which a backslash or a newline of the value is preceded by a
// backslash, then '#' up to the end (GRUB 2.12, grub-core/lib/envblk.c). GRUB
// also writes comment lines that begin with '#'.
//
// GRUB overwrites the file's two sectors in place. If the used bytes end before the
// second sector, only the first one changes. Then a change of state is one sector, which
// a disk writes as a whole or not at all. So Encode refuses longer content.
package grubenv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Size is the size of a block in bytes.
const Size = 1024

// MaxUsed is how many bytes the signature and the variables may have together.
const MaxUsed = 512

const header = "# GRUB Environment Block\n"

// ErrTooLong is the error of Encode if the variables do not fit into MaxUsed.
var ErrTooLong = errors.New("GRUB environment does not fit into one sector")

// Encode returns a block. Variables are in the order of their names.
func Encode(vars map[string]string) ([]byte, error) {
	var b strings.Builder
	b.WriteString(header)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if strings.ContainsRune(vars[name], 0) {
			return nil, fmt.Errorf("GRUB variable %q: its value has a NUL", name)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, escaper.Replace(vars[name]))
	}
	if b.Len() > MaxUsed {
		return nil, fmt.Errorf("%d variables of %d bytes, at most %d: %w", len(vars), b.Len(), MaxUsed, ErrTooLong)
	}
	return append([]byte(b.String()), bytes.Repeat([]byte{'#'}, Size-b.Len())...), nil
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", "\\\n")

// checkName accepts names that GRUB's script can use: letters, digits and '_', not
// beginning with a digit.
func checkName(s string) error {
	ok := s != "" && (s[0] < '0' || s[0] > '9')
	for _, r := range s {
		ok = ok && (r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}
	if !ok {
		return fmt.Errorf("GRUB variable %q: want letters, digits and _", s)
	}
	return nil
}

// Decode reads a block as GRUB does. If a name appears twice, the last one counts. It
// returns an error if b is not Size bytes, has no signature, has a NUL or a line that is
// not name=value, or ends in the middle of a line.
func Decode(b []byte) (map[string]string, error) {
	if len(b) != Size {
		return nil, fmt.Errorf("GRUB environment block of %d bytes: want %d", len(b), Size)
	}
	rest, ok := bytes.CutPrefix(b, []byte(header))
	if !ok {
		return nil, fmt.Errorf("GRUB environment block begins with %q: want %q", b[:len(header)], header)
	}
	vars := map[string]string{}
	for len(rest) > 0 {
		if rest[0] == '#' { // a comment, or the padding
			_, rest, _ = bytes.Cut(rest, []byte{'\n'})
			continue
		}
		line, tail, err := cutLine(rest)
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("GRUB environment block: line %q has no =", line)
		}
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("GRUB environment block: %w", err)
		}
		vars[name] = value
		rest = tail
	}
	return vars, nil
}

// cutLine returns the first line, with its escapes undone, and the rest.
func cutLine(b []byte) (line string, rest []byte, err error) {
	var out []byte
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\n':
			return string(out), b[i+1:], nil
		case 0:
			return "", nil, fmt.Errorf("GRUB environment block: a NUL after %q", out)
		case '\\':
			if i++; i == len(b) || b[i] == 0 {
				return "", nil, fmt.Errorf("GRUB environment block: it ends after %q", out)
			}
		}
		out = append(out, b[i])
	}
	return "", nil, fmt.Errorf("GRUB environment block: line %.40q has no end", out)
}

// Edit sets variables in a block of Size bytes as GRUB's save_env does, for tests of what
// GRUB leaves. names are the variables to set; those without a value in vars become
// empty. A variable keeps its place, later lines move, and a new variable comes last.
// Content that does not fit is cut off.
func Edit(block []byte, names []string, vars map[string]string) []byte {
	left := maps.Clone(vars)
	var b bytes.Buffer
	for line := range strings.Lines(strings.TrimRight(string(block), "#")) {
		name, _, _ := strings.Cut(line, "=")
		if slices.Contains(names, name) {
			line = name + "=" + escaper.Replace(left[name]) + "\n"
			delete(left, name)
		}
		b.WriteString(line)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(&b, "%s=%s\n", name, escaper.Replace(left[name]))
	}
	b.Write(bytes.Repeat([]byte{'#'}, max(0, Size-b.Len())))
	return b.Bytes()[:Size]
}
