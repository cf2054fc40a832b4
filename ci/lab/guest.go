// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// A Runner runs a program in the guest; *qemu.Client is one. Input is the
// program's standard input.
type Runner interface {
	RunInput(ctx context.Context, input string, argv ...string) (qemu.Output, error)
}

// A Console holds the console output of a machine; *qemu.Console is one.
type Console interface {
	Find(*regexp.Regexp) (qemu.Match, bool)
}

// A Guest is a node that is up, with its disk.
type Guest struct {
	Runner
	Boot    qemu.Boot
	Disk    *Disk
	Cmdline string // of the kernel
	HostKey string // SSH host key, as authorized_keys has it
	// LoginAs logs in as another user.
	LoginAs func(ctx context.Context, user string) (Runner, func() error, error)
	// Memory carries the values that a check saw at the first boot to the second.
	Memory map[string]string
}

// Output runs a program and returns its stdout. An exit status other than 0 is an error
// with the program's message.
func (g *Guest) Output(ctx context.Context, argv ...string) (string, error) {
	return Output(ctx, g.Runner, "", argv...)
}

// Output is Guest.Output with input for the program's standard input.
func Output(ctx context.Context, r Runner, input string, argv ...string) (string, error) {
	out, err := r.RunInput(ctx, input, argv...)
	if err != nil {
		return "", err
	}
	if out.Exit != 0 {
		return out.Stdout, fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Exit, FirstOf(out.Stderr, out.Stdout))
	}
	return out.Stdout, nil
}

// Refuses runs a program that must fail with these words on stderr.
func (g *Guest) Refuses(ctx context.Context, words string, argv ...string) error {
	out, err := g.RunInput(ctx, "", argv...)
	switch {
	case err != nil:
		return err
	case out.Exit == 0:
		return fmt.Errorf("%s: succeeded, must fail with %q", strings.Join(argv, " "), words)
	case !strings.Contains(out.Stderr, words):
		return fmt.Errorf("%s: failed with %q, must fail with %q", strings.Join(argv, " "), FirstOf(out.Stderr), words)
	}
	return nil
}

// FirstOf returns the first text that is not empty, without the space around it.
func FirstOf(texts ...string) string {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			return t
		}
	}
	return "(no words)"
}

// Existing returns the paths that exist.
func (g *Guest) Existing(ctx context.Context, paths []string) ([]string, error) {
	out, err := g.RunInput(ctx, "", append([]string{"stat", "-c", "%n", "--"}, paths...)...)
	return strings.Fields(out.Stdout), err
}

// Says runs a program whose stdout must match the regular expression words.
func (g *Guest) Says(ctx context.Context, words string, argv ...string) error {
	text, err := g.Output(ctx, argv...)
	if err != nil {
		return err
	}
	if text = strings.TrimSpace(text); !regexp.MustCompile(words).MatchString(text) {
		return fmt.Errorf("%s must say %q, says: %s", strings.Join(argv, " "), words, text)
	}
	return nil
}

// The name and the content of a marker file.
const (
	MarkerName  = ".kairos-acceptance"
	MarkerWords = "written before the reboot\n"
)

// Markers returns the path of the marker in each directory.
func Markers(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, dir := range dirs {
		out[i] = path.Join(dir, MarkerName)
	}
	return out
}

// Mark writes a marker to each directory and flushes it to the disk.
func (g *Guest) Mark(ctx context.Context, dirs []string) error {
	files := Markers(dirs)
	if _, err := Output(ctx, g.Runner, MarkerWords, append([]string{"tee", "--"}, files...)...); err != nil {
		return err
	}
	_, err := g.Output(ctx, append([]string{"sync", "--"}, files...)...)
	return err
}

// Units waits until systemd has started everything, and fails if a unit failed.
func Units(ctx context.Context, g *Guest) (string, error) {
	state, err := g.RunInput(ctx, "", "systemctl", "is-system-running", "--wait")
	if err != nil {
		return "", err
	}
	if word := strings.TrimSpace(state.Stdout); word == "running" {
		return "", nil
	} else if word != "degraded" {
		return "", fmt.Errorf("systemd says the system is %q: %s", word, strings.TrimSpace(state.Stderr))
	}
	list, err := g.Output(ctx, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
	if err != nil {
		return "", err
	}
	return "", failedUnits(ctx, g, list)
}

// failedUnits returns an error with the failed units and their last log lines.
func failedUnits(ctx context.Context, g *Guest, list string) error {
	var units []string
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 0 {
			units = append(units, f[0])
		}
	}
	out, err := g.RunInput(ctx, "", append([]string{"systemctl", "status", "--no-pager", "--lines=8", "--"}, units...)...)
	if err != nil {
		return err
	}
	return fmt.Errorf("failed: %s\n%s", strings.Join(units, ", "), strings.TrimSpace(out.Stdout))
}
