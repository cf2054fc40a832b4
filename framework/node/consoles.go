// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// consoleTime is how long one console may take: a serial line whose other end
// holds the flow must not hold the boot.
const consoleTime = 5 * time.Second

// say prints lines for the journal and on every console.
func (n *Node) say(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "kairos: %s\n", short(strings.ReplaceAll(line, "\n", " | ")))
	}
	fmt.Fprint(n.Stdout, text.String())
	return n.onConsoles(ctx, text.String())
}

// maxLine is how long a line on a console may be, in bytes: a serial line is
// slow, and status has the whole text.
const maxLine = 500

func short(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxLine], "") + "…"
}

// onConsoles writes text to every console of the node.
func (n *Node) onConsoles(ctx context.Context, text string) error {
	if !n.Running() {
		return nil
	}
	consoles := consoleDevices(readOptional("/sys/class/tty/console/active"))
	var all error
	for _, dev := range consoles {
		all = errors.Join(all, writeConsole(ctx, dev, "\n"+text))
	}
	return all
}

// consoleDevices reads a list such as "tty0 ttyS0".
func consoleDevices(active string) []string {
	var out []string
	for name := range strings.FieldsSeq(active) {
		out = append(out, "/dev/"+name)
	}
	if len(out) == 0 {
		return []string{"/dev/console"}
	}
	return out
}

func readOptional(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// writeConsole writes text in one go and gives up after consoleTime.
func writeConsole(ctx context.Context, dev, text string) error {
	ctx, cancel := context.WithTimeout(ctx, consoleTime)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(dev, os.O_WRONLY|unix.O_NOCTTY, 0)
		if err != nil {
			done <- err
			return
		}
		_, err = f.WriteString(text)
		done <- errors.Join(err, f.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("writing to the console %s: it takes nothing: %w", dev, ctx.Err())
	}
}
