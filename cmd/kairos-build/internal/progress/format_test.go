// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "0.0s",
		1250 * time.Millisecond:               "1.2s",
		59 * time.Second:                      "59.0s",
		61 * time.Second:                      "1m01s",
		12*time.Minute + 400*time.Millisecond: "12m00s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 118 << 20: "118.0 MiB", 1 << 30: "1.0 GiB", 1000 << 20: "1.0 GiB", 5 << 40: "5.0 TiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string // lines, with | between them
	}{
		{"", 5, ""},
		{"one two", 7, "one two"},
		{"one two", 6, "one|two"},
		{"one two three", 9, "one two|three"},
		{"unbreakable", 4, "unbr|eaka|ble"},
		{"a unbreakable b", 4, "a|unbr|eaka|ble|b"},
		{"größe zwölf", 5, "größe|zwölf"},
		{"ab", 1, "a|b"},
	} {
		if got := strings.Join(wrap(tt.text, tt.width), "|"); got != tt.want {
			t.Errorf("%q at %d: got %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                     "plain",
		"a\tb\n":                    "a b",
		"\x1b[1;31mred\x1b[0m text": "red text",
		"10%\r20%\r30%\r\n":         "30%",
		"bell\a and \x1bM reverse":  "bell and  reverse",
		"broken \x1b[12":            "broken ",
		"ends in escape \x1b":       "ends in escape ",
		"not utf-8 \xff\xfe":        "not utf-8 ",
		"größer 大":                  "größer 大",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m", 10)
	f.Add("a\rb", 0)
	f.Fuzz(func(t *testing.T, s string, width int) {
		got := clean(s)
		if strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
		if short := cut(got, width); width >= 0 && utf8.RuneCountInString(short) > width {
			t.Errorf("%q cut to %d is %q", got, width, short)
		}
	})
}

func TestMeter(t *testing.T) {
	c := newClock()
	var m meter
	for i := range int64(100) {
		m.set(i*1000, 0, c.now())
		c.advance(100 * time.Millisecond)
	}
	if got := m.rate(); got != 10000 {
		t.Errorf("1000 bytes every 0.1 s are 10000 a second, got %d", got)
	}
	for i := range int64(100000) {
		m.set(100000+i, 0, c.now())
		c.advance(10 * time.Microsecond)
	}
	if len(m.samples) > 100 {
		t.Errorf("the meter keeps %d samples", len(m.samples))
	}
	c.advance(time.Minute)
	m.set(m.done, 0, c.now())
	c.advance(4 * time.Second)
	m.set(m.done, 0, c.now())
	if got := m.rate(); got != 0 {
		t.Errorf("a stalled source has no rate, got %d", got)
	}
}
