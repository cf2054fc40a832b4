// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// maxLine is the length, in bytes, at which a line without a newline is broken.
const maxLine = 64 << 10

// A Console is a serial line. It holds all lines that the guest has written, with their
// times, and can type. It reads in the background, so nothing is lost between two waits.
// A wait begins where the last one matched.
type Console struct {
	faults []Fault
	path   string // of the log, for messages

	mu      sync.Mutex
	lines   []line // the last one may be unfinished
	cursor  place
	ended   error         // why reading stopped
	changed chan struct{} // closed when something above changes
	keys    io.Writer
	taps    map[*tap]struct{}
}

type line struct {
	at   time.Time // of its first byte
	text string
}

// A place is a position in the text: line number, and byte in that line.
type place struct{ line, column int }

// A tap gets a copy of the raw bytes.
type tap struct{ w io.Writer }

// A Match is the line that a wait found.
type Match struct {
	Text   string   // the whole line
	Groups []string // as regexp.FindStringSubmatch returns them
	At     time.Time
}

// newConsole makes a console that types into keys; feed fills it.
func newConsole(keys io.Writer, path string, faults []Fault) *Console {
	return &Console{
		faults: faults, path: path, keys: keys,
		lines: []line{{}}, changed: make(chan struct{}), taps: map[*tap]struct{}{},
	}
}

// feed copies r to the console and to log until r ends.
func (c *Console) feed(r io.Reader, log io.Writer) error {
	var clean stripper
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			c.add(buf[:n], clean.strip(buf[:n]), time.Now())
			if _, werr := log.Write(buf[:n]); werr != nil {
				err = errors.Join(err, fmt.Errorf("writing the console log %s: %w", c.path, werr))
			}
		}
		if err != nil {
			return c.end(err)
		}
	}
}

func (c *Console) add(raw, clean []byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.taps {
		if _, err := t.w.Write(raw); err != nil {
			delete(c.taps, t) // its reader is gone
		}
	}
	for _, b := range clean {
		last := &c.lines[len(c.lines)-1]
		if b == '\n' || len(last.text) >= maxLine {
			c.lines = append(c.lines, line{at: now})
			last = &c.lines[len(c.lines)-1]
		}
		if b == '\n' {
			continue
		}
		if last.text == "" {
			last.at = now
		}
		last.text += string(b)
	}
	c.wake()
}

func (c *Console) end(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.ended = errors.Join(ErrEnded, err)
	c.wake()
	return err
}

func (c *Console) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// WaitFor returns the first line after the last match that re matches. The error is a
// GuestError if a fault comes first, ErrEnded if the machine ends, and a TimeoutError if
// ctx ends. WaitFor also matches an unfinished line, as a prompt has no newline. Use
// WaitLine for everything else.
func (c *Console) WaitFor(ctx context.Context, re *regexp.Regexp) (Match, error) {
	return c.wait(ctx, re, false)
}

// WaitLine is WaitFor for finished lines.
func (c *Console) WaitLine(ctx context.Context, re *regexp.Regexp) (Match, error) {
	return c.wait(ctx, re, true)
}

func (c *Console) wait(ctx context.Context, re *regexp.Regexp, finished bool) (Match, error) {
	next := c.place()
	for {
		m, changed, err := c.search(re, &next, finished)
		if m != nil {
			return *m, nil
		}
		if err != nil {
			return Match{}, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Match{}, &TimeoutError{fmt.Sprintf("%q on the console", re), c.path, c.Tail(tailLines), ctx.Err()}
		}
	}
}

func (c *Console) place() place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor
}

// search checks every line from next on, moves next to the last line, and moves the
// cursor behind a match.
func (c *Console) search(re *regexp.Regexp, next *place, finished bool) (*Match, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; ; *next = (place{next.line + 1, 0}) {
		l := c.lines[next.line]
		rest := l.text[next.column:]
		last := next.line == len(c.lines)-1
		if loc := re.FindStringSubmatchIndex(rest); loc != nil && (!last || !finished) {
			c.cursor = place{next.line, next.column + loc[1]}
			return &Match{l.text, re.FindStringSubmatch(rest), l.at}, nil, nil
		}
		if f := match(c.faults, rest); f != nil {
			return nil, nil, c.guestError(f, l.text)
		}
		if last {
			return nil, c.changed, c.ended
		}
	}
}

// fault returns the first fault after the last match, or nil.
func (c *Console) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.cursor.line; i < len(c.lines); i++ {
		text := c.lines[i].text
		if i == c.cursor.line {
			text = text[c.cursor.column:]
		}
		if f := match(c.faults, text); f != nil {
			return c.guestError(f, text)
		}
	}
	return nil
}

func (c *Console) guestError(f *Fault, text string) error {
	return &GuestError{f.Meaning, strings.TrimSpace(text), c.path, c.tail(tailLines)}
}

// Skip moves to the end of the text so far. Later waits do not match the skipped text,
// and it is no longer a fault.
func (c *Console) Skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.lines) - 1
	c.cursor = place{last, len(c.lines[last].text)}
}

// Find searches the text so far, from the beginning, without moving the cursor.
func (c *Console) Find(re *regexp.Regexp) (Match, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		if groups := re.FindStringSubmatch(l.text); groups != nil {
			return Match{l.text, groups, l.at}, true
		}
	}
	return Match{}, false
}

// Send types text. A newline at the end of a line enters it.
func (c *Console) Send(text string) error {
	if _, err := io.WriteString(c.keys, text); err != nil {
		return fmt.Errorf("typing on the console: %w", err)
	}
	return nil
}

// tailLines is how many console lines an error quotes.
const tailLines = 12

// Tail returns the last n lines that are not empty.
func (c *Console) Tail(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tail(n)
}

func (c *Console) tail(n int) string {
	var out []string
	for i := len(c.lines) - 1; i >= 0 && len(out) < n; i-- {
		if text := strings.TrimSpace(c.lines[i].text); text != "" {
			out = append([]string{strings.ToValidUTF8(text, "?")}, out...)
		}
	}
	return strings.Join(out, "\n")
}

// Tap copies all later output to w, raw, until stop is called.
func (c *Console) Tap(w io.Writer) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &tap{w}
	c.taps[t] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.taps, t)
	}
}
