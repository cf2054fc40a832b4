// SPDX-License-Identifier: Apache-2.0

package qemu

// A stripper removes terminal control from a stream of bytes: escape sequences (ECMA-48:
// CSI, OSC and the short ones) and every control character except newline and tab. It
// keeps its state between calls, as a sequence may be split anywhere.
type stripper struct {
	state stripState
}

type stripState int

const (
	plain   stripState = iota
	escape             // after ESC
	control            // inside CSI, until a byte from 0x40 to 0x7e
	text               // inside OSC, DCS, APC or PM, until BEL or ESC \
	charset            // after ESC ( and its like: one byte follows
)

const (
	bell      = 0x07
	escapeKey = 0x1b
	deleteKey = 0x7f
)

// strip returns the readable text of data.
func (s *stripper) strip(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for _, b := range data {
		if s.state == plain && b != escapeKey {
			if b >= ' ' && b != deleteKey || b == '\n' || b == '\t' {
				out = append(out, b)
			}
			continue
		}
		s.state = s.state.next(b)
	}
	return out
}

func (s stripState) next(b byte) stripState {
	switch {
	case b == escapeKey:
		return escape
	case s == escape:
		return afterEscape(b)
	case s == control && b >= 0x40 && b <= 0x7e, s == text && b == bell, s == charset:
		return plain
	}
	return s
}

func afterEscape(b byte) stripState {
	switch b {
	case '[':
		return control
	case ']', 'P', '_', '^', 'X':
		return text
	case '(', ')', '*', '+', '#', '%', ' ':
		return charset
	}
	return plain
}
