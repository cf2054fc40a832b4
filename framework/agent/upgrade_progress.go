// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/framework/upgrade"
)

const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 5 * time.Second
	clearLine  = "\r\x1b[K"
)

// A progressView shows progress: on a terminal as one line that changes,
// otherwise as a line for each step and one every few seconds.
type progressView struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool
	now   func() time.Time
	shown time.Time // when progress was last shown
	step  string
	began time.Time // when the step began
	drawn bool      // a live line is on the terminal
}

func newProgressView(out io.Writer) *progressView {
	file, ok := out.(*os.File)
	return &progressView{out: out, live: ok && term.IsTerminal(int(file.Fd())), now: time.Now}
}

// show is the function for Options.Progress of an upgrade.
func (v *progressView) show(p upgrade.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, every := v.now(), plainEvery
	if v.live {
		every = liveEvery
	}
	if p.Step != v.step {
		v.step, v.began = p.Step, now
	} else if now.Sub(v.shown) < every {
		return
	}
	v.shown = now
	line := progressLine(p, now.Sub(v.began))
	if v.live {
		fmt.Fprint(v.out, clearLine, line)
		v.drawn = true
		return
	}
	fmt.Fprintln(v.out, line)
}

func progressLine(p upgrade.Progress, since time.Duration) string {
	if p.Total == 0 || p.Done == 0 {
		return p.Step
	}
	line := fmt.Sprintf("%s  %3d%%  %d of %d MiB", p.Step, p.Done*100/p.Total, p.Done>>20, p.Total>>20)
	if since >= time.Second {
		line += fmt.Sprintf("  %.1f MiB/s", float64(p.Done)/(1<<20)/since.Seconds())
	}
	return line
}

// Write implements io.Writer for messages between the progress lines.
func (v *progressView) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	return v.out.Write(b)
}

// end removes the live line.
func (v *progressView) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}

func (v *progressView) clear() {
	if v.drawn {
		fmt.Fprint(v.out, clearLine)
		v.drawn = false
	}
}
