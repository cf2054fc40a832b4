// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// clock is a clock that tests advance by hand.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

// story is a build with all kinds of steps. It calls shot at the interesting moments.
func story(r Reporter, c *clock, shot func(title string)) {
	download := r.Step("download base")
	cached := r.Step("bootstrap base")
	cached.Done(true, nil)
	for i := range int64(13) {
		download.Progress(i<<20, 12<<20)
		c.advance(time.Second)
	}
	shot("a download")
	download.Done(false, nil)

	install := r.Step("install packages")
	install.Log("Get:1 http://\x1b[1mdeb\x1b[0m.debian.org trixie InRelease\r\n")
	install.Log("Unpacking 10%\rUnpacking libc6:amd64 (2.41-12) over a line that is much longer than the terminal is wide …")
	c.advance(1500 * time.Millisecond)
	other := r.Step("write root image")
	other.State("half way")
	shot("two at once")
	for line := range strings.FieldsSeq("E: broken packages") {
		install.Log(line)
	}
	install.Done(false, errors.New("exit code 100\nand more"))
	install.Done(false, nil) // has no effect
	c.advance(70 * time.Second)
	other.Log("late")
	shot("a failure")
}

func TestPlain(t *testing.T) {
	c, out := newClock(), &bytes.Buffer{}
	r := newPlain(out, c.now)
	story(r, c, func(string) {})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/plain.txt", out.String())
}

func TestJSON(t *testing.T) {
	c, out := newClock(), &bytes.Buffer{}
	r := newJSON(out, c.now)
	story(r, c, func(string) {})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Step == 0 || e.Name == "" {
			t.Errorf("line %q: %v", line, err)
		}
	}
	golden.Check(t, "testdata/json.txt", out.String())
}

func TestTTY(t *testing.T) {
	tests := []struct {
		name  string
		width int
		env   map[string]string
	}{
		{"tty", 60, map[string]string{"NO_COLOR": "1"}},
		{"tty-narrow", 24, map[string]string{"NO_COLOR": "1"}},
		{"tty-color", 60, nil},
		{"tty-console", 60, map[string]string{"NO_COLOR": "1", "TERM": "linux"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, screen, pictures := newClock(), &screen{}, &strings.Builder{}
			r := newTTY(screen, styleOf(func(k string) string { return tt.env[k] }), c.now, func() (int, int) { return tt.width, 24 })
			shot := func(title string) {
				r.draw()
				pictures.WriteString("--- " + title + "\n" + screen.String())
			}
			story(r, c, shot)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			pictures.WriteString("--- closed\n" + screen.String())
			for _, line := range screen.lines {
				if n := utf8.RuneCountInString(dropEscapes(line)); n >= tt.width {
					t.Errorf("line of %d characters on a terminal of %d: %q", n, tt.width, line)
				}
			}
			golden.Check(t, filepath.Join("testdata", tt.name+".txt"), strings.ReplaceAll(pictures.String(), "\x1b", "␛"))
		})
	}
}

// screen interprets the three control sequences that the live view writes.
type screen struct {
	lines []string
	row   int
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	if rest, ok := strings.CutPrefix(text, "\x1b["); ok && strings.Contains(rest[:min(4, len(rest))], "A") {
		n, after, _ := strings.Cut(rest, "A")
		for range int(n[0] - '0') {
			s.row--
		}
		text = after
	}
	if rest, ok := strings.CutPrefix(text, "\r\x1b[J"); ok {
		s.lines, text = s.lines[:s.row], rest
	}
	for line := range strings.Lines(text) {
		s.lines = append(s.lines[:s.row], strings.TrimSuffix(line, "\n"))
		s.row++
	}
	return len(p), nil
}

func (s *screen) String() string {
	return strings.Join(s.lines, "\n") + "\n"
}

func TestTTYShowsHowManyMore(t *testing.T) {
	c, screen := newClock(), &screen{}
	r := newTTY(screen, styleOf(func(string) string { return "1" }), c.now, func() (int, int) { return 40, 6 })
	var steps []Step
	for name := range strings.SplitSeq("abcdefgh", "") {
		steps = append(steps, r.Step("step "+name))
	}
	r.draw()
	want := "| step a 0.0s\n| step b 0.0s\n| step c 0.0s\n| 5 more\n"
	if diff := cmp.Diff(want, screen.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, s := range steps {
		s.Done(false, nil)
	}
	r.draw()
	if got := strings.Count(screen.String(), "+ step"); got != 8 || len(screen.lines) != 8 {
		t.Errorf("the end shows:\n%s", screen)
	}
}

func TestNew(t *testing.T) {
	for _, mode := range append(Modes(), "") {
		r, err := New(mode, io.Discard, false)
		if err != nil {
			t.Fatalf("mode %q: %v", mode, err)
		}
		r.Step("a").Done(false, nil)
		if err := r.Close(); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
	_, err := New("fancy", io.Discard, true)
	if err == nil || err.Error() != `progress mode "fancy": use one of auto, tty, plain, json, none` {
		t.Errorf("got %v", err)
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		mode  string
		isTTY bool
		term  string
		want  string
	}{
		{Auto, true, "xterm", TTY},
		{Auto, true, "dumb", Plain},
		{Auto, false, "xterm", Plain},
		{"", true, "xterm", TTY},
		{JSON, true, "xterm", JSON},
		{TTY, false, "", TTY},
	}
	for _, tt := range tests {
		if got := resolve(tt.mode, tt.isTTY, func(string) string { return tt.term }); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

// TestLiveViewStops catches a goroutine that writes after Close.
func TestLiveViewStops(t *testing.T) {
	out := &countingWriter{}
	r := newLiveTTY(out, styleOf(func(string) string { return "" }), time.Now)
	s := r.Step("a")
	time.Sleep(3 * frameInterval)
	s.Done(false, nil)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	n := out.n
	time.Sleep(2 * frameInterval)
	if n == 0 || out.n != n {
		t.Errorf("%d writes before Close, %d after", n, out.n-n)
	}
}

type countingWriter struct{ n int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n++
	return len(p), nil
}

func TestWriteErrorIsReturned(t *testing.T) {
	full := errors.New("disk full")
	for name, r := range map[string]Reporter{
		"plain": newPlain(failing{full}, time.Now),
		"json":  newJSON(failing{full}, time.Now),
		"tty":   newLiveTTY(failing{full}, style{spinner: []string{""}}, time.Now),
	} {
		r.Step("a").Done(false, nil)
		if err := r.Close(); !errors.Is(err, full) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }
