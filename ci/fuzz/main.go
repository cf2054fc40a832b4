// SPDX-License-Identifier: Apache-2.0

// fuzz runs every fuzz target of this repository. The go command says which there are, so
// nothing else lists them.
//
// What passed is written down at once, with the digest of the package's code: the next run
// goes on with the targets that are left, which are the new ones and those of packages that
// have changed. A target that finds something does not stop the others; the go command keeps
// the input in testdata/fuzz of its package, where it is a test from then on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	command := flags.String("go", "go", "go `command`")
	each := flags.Duration("time", 10*time.Minute, "`time` for each target")
	passed := flags.String("passed", "", "`file` with the targets that passed")
	jobs := flags.Int("jobs", runtime.GOMAXPROCS(0), "targets at the same time, on one `processor` each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *each <= 0:
		return fmt.Errorf("the time for each target is %v: want for instance FUZZTIME=10m", *each)
	case *jobs <= 0:
		return fmt.Errorf("%d targets at the same time: want at least 1", *jobs)
	case *passed == "":
		return errors.New("no file for what passed: give one with -passed")
	}
	l, err := openLedger(*passed)
	if err != nil {
		return err
	}
	now := time.Now //nolint:forbidigo // the file says on which day a target passed
	f := fuzzer{each: *each, jobs: *jobs, out: &lines{w: out}, now: now, run: goCommand(*command)}
	return f.all(ctx, flags.Args(), l)
}

// lines is a writer that several targets share.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// goCommand runs the go command; out gets all that it prints.
func goCommand(name string) func(ctx context.Context, out io.Writer, args ...string) error {
	return func(ctx context.Context, out io.Writer, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		// The go command waits for the test that it runs, which is what has to be interrupted. It then
		// keeps the worker's input.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
		cmd.WaitDelay = time.Minute
		cmd.Stdout, cmd.Stderr = out, out
		return cmd.Run()
	}
}
