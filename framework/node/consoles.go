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

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// Ready prints the problems of the config and then one line that says that the node
// is up. It waits for nothing: the order of its unit ensures that the node is up.
func (n *Node) Ready(ctx context.Context) error {
	s := status.WithoutSlots(n.Root)
	n.warn("writing what stands above the login prompt", n.writeNodeIssue(s))
	text := n.readyText(ctx, s)
	fmt.Fprint(n.Stdout, text)
	return n.onConsoles(ctx, text+"\n") // systemd may erase one line: the one where it showed a running job
}

func (n *Node) readyText(ctx context.Context, s status.Status) string {
	var lines []string
	if r, err := report.Read(n.Root); err != nil {
		lines = append(lines, err.Error())
	} else {
		lines = append(lines, r.Lines()...)
	}
	if r, err := stages.ReadReport(n.Root); err != nil {
		lines = append(lines, err.Error())
	} else {
		lines = append(lines, r.Lines()...)
	}
	return forConsole(append(lines, n.notStarted(ctx)...)) + readyLine(s)
}

// forConsole puts "kairos: " before every line.
func forConsole(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "kairos: %s\n", line)
	}
	return b.String()
}

// readyLine is the line that the VM harness and people wait for. Its form is stable.
func readyLine(s status.Status) string {
	if s.Live() {
		s.Slot = "none"
	}
	return fmt.Sprintf("kairos: ready slot=%s mode=%s version=%s\n", orUnknown(s.Slot), orUnknown(s.Mode), orUnknown(s.Version))
}

func orUnknown(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}

// consoleTime is how long one console may take: a serial line whose other end stops
// the flow must not block the boot.
const consoleTime = 5 * time.Second

// say prints lines to the journal and to every console.
func (n *Node) say(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	var shown []string
	for _, line := range lines {
		shown = append(shown, short(strings.ReplaceAll(line, "\n", " | ")))
	}
	text := forConsole(shown)
	fmt.Fprint(n.Stdout, text)
	return n.onConsoles(ctx, text)
}

// maxLine limits a line on a console, in bytes: a serial line is slow, and the
// status has the whole text.
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
