// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

func newReady(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "ready",
		Short:   "Say on every console that the node is up (kairos-ready.service)",
		Example: "  kairos-agent ready",
		Args:    commandline.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.ready(cmd.Context()) },
	}
}

// consoleTime is how long one console may take: a serial line whose other end
// holds the flow must not hold the boot.
const consoleTime = 5 * time.Second

// ready prints the problems of the config and then, on one line, that the node
// is up. It waits for nothing: the unit's order does.
func (p *program) ready(ctx context.Context) error {
	s := status.WithoutSlots(p.root)
	p.warn("writing what stands above the login prompt", p.writeNodeIssue(s))
	text := p.readyText(ctx, s)
	fmt.Fprint(p.stdout, text)
	return p.onConsoles(ctx, text+"\n") // systemd may take one line back, that of a job which it showed as running
}

// onConsoles writes text to every console of the node.
func (p *program) onConsoles(ctx context.Context, text string) error {
	if !p.onNode() {
		return nil
	}
	consoles := consoleDevices(readOptional("/sys/class/tty/console/active"))
	var all error
	for _, dev := range consoles {
		all = errors.Join(all, writeConsole(ctx, dev, "\n"+text))
	}
	return all
}

func (p *program) readyText(ctx context.Context, s status.Status) string {
	var b strings.Builder
	r, err := report.Read(p.root)
	switch {
	case err != nil:
		fmt.Fprintf(&b, "kairos: %v\n", err)
	default:
		for _, line := range r.Lines() {
			fmt.Fprintf(&b, "kairos: %s\n", line)
		}
	}
	if ran, err := stages.ReadReport(p.root); err != nil {
		fmt.Fprintf(&b, "kairos: %v\n", err)
	} else {
		for _, line := range ran.Lines() {
			fmt.Fprintf(&b, "kairos: %s\n", line)
		}
	}
	for _, line := range p.notStarted(ctx) {
		fmt.Fprintf(&b, "kairos: %s\n", line)
	}
	b.WriteString(readyLine(s))
	return b.String()
}

// readyLine is what the VM harness and people wait for. Its form is stable.
func readyLine(s status.Status) string {
	return fmt.Sprintf("kairos: ready slot=%s mode=%s version=%s\n", orUnknown(s.Slot), orUnknown(s.Mode), orUnknown(s.Version))
}

func orUnknown(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
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
