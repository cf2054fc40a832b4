// SPDX-License-Identifier: Apache-2.0

// fuzz runs every fuzz target of this repository, one after the other. The go command says
// which there are, so nothing else lists them.
//
// It can be interrupted: the next run goes on with the targets that are left, unless the
// commit or the time of a target is another one. A target that finds something does not stop
// the others; the go command keeps the input in testdata/fuzz of its package, where it is a
// test from then on.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
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
	state := flags.String("state", "", "`file` with the targets that are done")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *each <= 0:
		return fmt.Errorf("the time for each target is %v: want for instance FUZZTIME=10m", *each)
	case *state == "":
		return errors.New("no file for what is done: give one with -state")
	}
	f := fuzzer{each: *each, state: *state, out: out, run: goCommand(*command, out)}
	commit, err := commitOf(ctx)
	if err != nil {
		return err
	}
	return f.all(ctx, flags.Args(), commit)
}

// commitOf is the commit that is checked out, or "none" without git.
func commitOf(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil {
		return "none", ctx.Err()
	}
	return strings.TrimSpace(string(out)), nil
}

// goCommand runs the go command. What it prints is returned, or shown if show is true.
func goCommand(name string, out io.Writer) func(ctx context.Context, show bool, args ...string) (string, error) {
	return func(ctx context.Context, show bool, args ...string) (string, error) {
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the worker's input is then kept
		cmd.WaitDelay = time.Minute
		cmd.Stdout, cmd.Stderr = io.Writer(&said), os.Stderr
		if show {
			cmd.Stdout = out
		}
		err := cmd.Run()
		return said.String(), err
	}
}
