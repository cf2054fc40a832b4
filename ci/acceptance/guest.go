// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// A Runner runs a program in the guest; *qemu.Client is one. Input is the
// program's standard input.
type Runner interface {
	RunInput(ctx context.Context, input string, argv ...string) (qemu.Output, error)
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
	// Memory carries what a check saw at the first boot to the second.
	Memory map[string]string
}

// output runs a program and gives what it printed. Another status than 0 is an
// error with the program's words.
func (g *Guest) output(ctx context.Context, argv ...string) (string, error) {
	return output(ctx, g.Runner, "", argv...)
}

func output(ctx context.Context, r Runner, input string, argv ...string) (string, error) {
	out, err := r.RunInput(ctx, input, argv...)
	if err != nil {
		return "", err
	}
	if out.Exit != 0 {
		return out.Stdout, fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Exit, firstOf(out.Stderr, out.Stdout))
	}
	return out.Stdout, nil
}

// refuses runs a program that must fail with these words.
func (g *Guest) refuses(ctx context.Context, words string, argv ...string) error {
	out, err := g.RunInput(ctx, "", argv...)
	switch {
	case err != nil:
		return err
	case out.Exit == 0:
		return fmt.Errorf("%s: succeeded, must fail with %q", strings.Join(argv, " "), words)
	case !strings.Contains(out.Stderr, words):
		return fmt.Errorf("%s: failed with %q, must fail with %q", strings.Join(argv, " "), firstOf(out.Stderr), words)
	}
	return nil
}

// firstOf gives the first text that is not empty.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			return t
		}
	}
	return "(no words)"
}

// existing gives those of the paths that exist.
func (g *Guest) existing(ctx context.Context, paths []string) ([]string, error) {
	out, err := g.RunInput(ctx, "", append([]string{"stat", "-c", "%n", "--"}, paths...)...)
	return strings.Fields(out.Stdout), err
}

// A mountPoint is a line of /proc/self/mountinfo; see proc_pid_mountinfo(5).
type mountPoint struct {
	device, path, options, fs, source string
}

var errMountinfo = errors.New("/proc/self/mountinfo has no line that can be read for /")

// rootMount finds what is mounted at /.
func rootMount(mountinfo string) (mountPoint, error) {
	found := mountPoint{}
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if ok && len(l) >= 6 && len(r) >= 3 && l[4] == "/" {
			found = mountPoint{l[2], l[4], l[5] + "," + r[2], r[0], r[1]}
		}
	}
	if found.path == "" {
		return found, errMountinfo
	}
	return found, nil
}
