// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	frameInterval = 100 * time.Millisecond
	maxLive       = 8  // lines of the live part
	showLines     = 10 // of output, under a step that failed
)

// tty is the live view: finished steps scroll up as one line each; the running steps
// are redrawn below them.
type tty struct {
	now   func() time.Time
	size  func() (width, height int)
	style style

	mu    sync.Mutex
	w     io.Writer
	open  []*ttyStep
	above []string // finished lines that are not written yet
	drawn int      // live lines on the screen
	frame int
	err   error

	stop, stopped chan struct{} // nil in tests, which draw by hand
	once          sync.Once
}

type ttyStep struct {
	t     *tty
	name  string
	start time.Time
	meter meter
	moved bool // Progress was called
	tail  []string
	state string
	done  bool
}

func newTTY(w io.Writer, s style, now func() time.Time, size func() (int, int)) *tty {
	return &tty{w: w, style: s, now: now, size: size}
}

// newLiveTTY also redraws every frameInterval, until Close.
func newLiveTTY(w io.Writer, s style, now func() time.Time) *tty {
	t := newTTY(w, s, now, func() (int, int) { return terminalSize(w) })
	t.stop, t.stopped = make(chan struct{}), make(chan struct{})
	go t.animate()
	return t
}

func terminalSize(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}

func (t *tty) animate() {
	defer close(t.stopped)
	ticker := time.NewTicker(frameInterval)
	defer ticker.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			t.mu.Lock()
			t.frame++
			t.draw()
			t.mu.Unlock()
		}
	}
}

func (t *tty) Step(name string) Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &ttyStep{t: t, name: clean(name), start: t.now()}
	t.open = append(t.open, s)
	return s
}

// Close draws the last frame.
func (t *tty) Close() error {
	t.once.Do(func() {
		if t.stop != nil {
			close(t.stop)
			<-t.stopped
		}
	})
	for _, s := range t.unfinished() {
		s.Done(false, ErrInterrupted)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draw()
	return t.err
}

func (t *tty) unfinished() []*ttyStep {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*ttyStep(nil), t.open...)
}

func (s *ttyStep) Progress(done, total int64) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.moved = true
	s.meter.set(done, total, s.t.now())
}

func (s *ttyStep) Log(line string) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if line = clean(line); line != "" {
		s.tail = appendTail(s.tail, line, showLines)
	}
}

func (s *ttyStep) State(text string) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.state = clean(text)
}

func (s *ttyStep) Done(cached bool, err error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	s.t.open = without(s.t.open, s)
	s.t.above = append(s.t.above, s.ended(cached, err)...)
}

// ended returns the lines of a finished step that stay on the screen. Nothing of its name
// and its error is cut off.
func (s *ttyStep) ended(cached bool, err error) []string {
	st, took := s.t.style, seconds(s.t.now().Sub(s.start))
	switch {
	case errors.Is(err, ErrInterrupted):
		return s.t.whole(st.yellow, st.stopped, s.name, "interrupted")
	case err != nil:
		lines := s.t.failed(s.name, took+" "+firstLine(err))
		for _, line := range s.tail {
			lines = append(lines, s.t.fit(st.faint, " ", "", line))
		}
		return lines
	case cached:
		return s.t.whole(st.green, st.ok, s.name, "cached")
	}
	return s.t.whole(st.green, st.ok, s.name, took+moved(s.meter.done))
}

// running is the live line of a step: its time, and its bytes, state or last output.
func (s *ttyStep) running(spinner string) string {
	detail := seconds(s.t.now().Sub(s.start))
	switch {
	case s.moved:
		detail += "  " + percent(s.meter) + amount(s.meter.done, s.meter.total, s.meter.rate())
	case s.state != "":
		detail += "  " + s.state
	case len(s.tail) > 0:
		detail += "  " + s.tail[len(s.tail)-1]
	}
	return s.t.fit("", spinner, s.name, detail)
}

func percent(m meter) string {
	if m.total <= 0 {
		return ""
	}
	return fmt.Sprintf("%d%% ", min(100, int64(float64(m.done)/float64(m.total)*100)))
}

// room is how many characters of text a line takes, behind its mark and a blank. A
// character in the last column makes some terminals wrap.
func (t *tty) room() int {
	width, _ := t.size()
	return max(width-1-2, 1)
}

// failed makes the lines of a step that failed: one, or as many as its error needs.
func (t *tty) failed(name, detail string) []string {
	st := t.style
	if utf8.RuneCountInString(name+" "+detail) <= t.room() {
		return []string{t.fit(st.red, st.failed, name, detail)}
	}
	return t.whole(st.red, st.failed, name+" "+detail, "")
}

// whole makes one line, or as many as the name needs, with the detail at its end.
func (t *tty) whole(color, mark, name, detail string) []string {
	parts := wrap(name, t.room())
	last := len(parts) - 1
	var lines []string
	for _, part := range parts[:last] {
		lines = append(lines, t.fit(color, mark, part, ""))
		color, mark = "", " "
	}
	return append(lines, t.fit(color, mark, parts[last], detail))
}

// fit makes one line that fits. The name has priority over the detail.
func (t *tty) fit(color, mark, name, detail string) string {
	room := t.room()
	name = cut(name, room)
	if left := room - utf8.RuneCountInString(name); name == "" {
		detail = cut(detail, left)
	} else if left > 4 && detail != "" {
		detail = " " + cut(detail, left-1)
	} else {
		detail = ""
	}
	if t.style.reset == "" {
		return mark + " " + name + detail
	}
	marked := mark
	if color != "" {
		marked = color + mark + t.style.reset
	}
	return marked + " " + name + t.style.faint + detail + t.style.reset
}

// draw writes one frame: it goes back to the first live line, clears the screen from
// there, and writes the lines that stay and then the live lines. The caller holds mu.
//
// When a terminal is made narrower, some terminals wrap the lines on the screen, and
// some do not. draw goes back by the number of lines that it wrote. In the former, this
// leaves the top of one frame behind; going further would erase finished steps in the
// latter.
func (t *tty) draw() {
	_, height := t.size()
	live := t.live(min(maxLive, height-2))
	var b strings.Builder
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", t.drawn)
	}
	for _, line := range t.above {
		b.WriteString(line + "\n")
	}
	for _, line := range live {
		b.WriteString(line + "\n")
	}
	t.above, t.drawn = nil, len(live)
	if b.Len() > 0 {
		_, err := io.WriteString(t.w, b.String())
		t.err = errors.Join(t.err, err)
	}
}

// live returns one line for each running step, at most limit lines.
func (t *tty) live(limit int) []string {
	limit = max(limit, 1)
	spinner := t.style.spinner[t.frame%len(t.style.spinner)]
	var lines []string
	for i, s := range t.open {
		if rest := len(t.open) - i; i == limit-1 && rest > 1 {
			return append(lines, t.fit("", spinner, fmt.Sprintf("%d more", rest), ""))
		}
		lines = append(lines, s.running(spinner))
	}
	return lines
}
