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

// maxLine is where a line without an end is broken, in bytes.
const maxLine = 64 << 10

// A Console is a serial line: everything that the guest has written, line by line
// and with the time, and a way to type. Reading goes on in the background, so
// nothing is lost between two waits. A wait begins where the last one matched.
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
	at   time.Time // when its first byte came
	text string
}

// A place is a byte in the text: column of a line.
type place struct{ line, column int }

// A tap gets a copy of the raw bytes.
type tap struct{ w io.Writer }

// A Match is what a wait found.
type Match struct {
	Text   string   // the whole line
	Groups []string // as regexp.FindStringSubmatch gives them
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
			delete(c.taps, t) // whoever looked has gone
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

// WaitFor returns the first line after the last match that re matches. A fault
// that comes before it is a GuestError, the end of the machine an ErrEnded, the
// end of ctx a TimeoutError. A line is looked at while it is still being written,
// as a prompt has no end; WaitLine is for everything else.
func (c *Console) WaitFor(ctx context.Context, re *regexp.Regexp) (Match, error) {
	return c.wait(ctx, re, false)
}

// WaitLine is WaitFor for lines that are finished.
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

// search looks at every line from next on, moves next to the last line, and moves
// the cursor behind a match.
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

// fault gives the first fault after the last match, or nil.
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

// Skip moves to the end of what has been written: what is there is not matched,
// and is no fault any more.
func (c *Console) Skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.lines) - 1
	c.cursor = place{last, len(c.lines[last].text)}
}

// Find looks at everything written so far, from the beginning, and moves nothing.
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

// Send types text; a line is sent by a newline at its end.
func (c *Console) Send(text string) error {
	if _, err := io.WriteString(c.keys, text); err != nil {
		return fmt.Errorf("typing on the console: %w", err)
	}
	return nil
}

// tailLines is how much of the console an error quotes.
const tailLines = 12

// Tail gives the last n lines that are not empty.
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

// Tap copies everything that comes from now on to w, raw, until stop is called.
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
