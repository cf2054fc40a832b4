// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A job is one run of a program that is timed.
type job struct {
	seconds float64
	peak    Peak // only when it was asked for
}

// timed runs cmd, with what was written before out of the way, and looks at the
// memory of everything below us meanwhile.
func (b *bench) timed(ctx context.Context, cmd *exec.Cmd) (job, error) {
	unix.Sync()
	var j job
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- j.peak.watch(ctx, systemProc(), os.Getpid()) }()
	start := now()
	err := cmd.Run()
	j.seconds = since(start).Seconds()
	stop()
	return j, errors.Join(err, <-watched)
}

// kairos runs a kairos-build with a state folder of its own. What it says goes to
// a file, whose end becomes part of the error.
func (b *bench) kairos(ctx context.Context, program, state string, args ...string) (job, error) {
	log, err := os.CreateTemp(b.temp, "kairos-build-*.log")
	if err != nil {
		return job{}, err
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--progress", "plain")...)
	cmd.Env = append(os.Environ(), "KAIROS_BUILD_STATE="+state, "BUILDKIT_HOST=")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	j, err := b.timed(ctx, cmd)
	return j, errors.Join(withTail(err, "kairos-build "+args[0], log.Name()), log.Close())
}

// build is `kairos-build flavor`.
func (b *bench) build(ctx context.Context, program, state, out string, more ...string) (job, error) {
	args := append([]string{"flavor", b.flavor, "--output", out}, b.mirrors.flags()...)
	return b.kairos(ctx, program, state, append(args, more...)...)
}

// withTail adds the end of a log to an error.
func withTail(err error, what, log string) error {
	if err == nil {
		return nil
	}
	data, _ := os.ReadFile(log) // there is an error already
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	tail := strings.Join(lines[max(0, len(lines)-15):], "\n")
	return fmt.Errorf("%s: %w; its last words:\n%s", what, err, tail)
}

// diskHash reads what a build says its disk is.
func diskHash(out string) (string, error) {
	data, err := os.ReadFile(filepath.Join(out, "build.json"))
	if err != nil {
		return "", err
	}
	var made struct {
		Disks []struct {
			SHA256 string `json:"sha256"`
		} `json:"disks"`
	}
	if err := json.Unmarshal(data, &made); err != nil {
		return "", fmt.Errorf("reading build.json: %w", err)
	}
	if len(made.Disks) == 0 {
		return "", errors.New("build.json names no disk")
	}
	return made.Disks[0].SHA256, nil
}
