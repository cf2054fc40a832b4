// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A job is one timed run of a program.
type job struct {
	seconds float64
	cpu     float64 // seconds of the processor, user and system
	peak    Peak    // only if bench.sampling is set
}

// timed runs cmd after it has flushed all earlier writes to disk. In a row about memory,
// it meanwhile measures the memory of all processes below this one.
func (b *bench) timed(ctx context.Context, cmd *exec.Cmd) (job, error) {
	unix.Sync()
	var j job
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	if b.sampling > 0 {
		go func() { watched <- j.peak.watch(ctx, systemProc(), os.Getpid(), b.sampling) }()
	} else {
		watched <- nil
	}
	start := now()
	err := cmd.Run()
	j.seconds = since(start).Seconds()
	if cmd.ProcessState != nil {
		j.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	stop()
	return j, errors.Join(err, <-watched)
}

// kairos runs a kairos-build with its own state folder. The output goes to a file; an
// error has its end.
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

// build runs `kairos-build flavor`.
func (b *bench) build(ctx context.Context, program, state, out string, more ...string) (job, error) {
	args := append([]string{"flavor", b.flavor, "--output", out}, b.mirrors.flags()...)
	return b.kairos(ctx, program, state, append(args, more...)...)
}

// withTail adds the end of a log to an error.
func withTail(err error, what, log string) error {
	if err == nil {
		return nil
	}
	data, _ := os.ReadFile(log) // err is reported anyway
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	tail := strings.Join(lines[max(0, len(lines)-15):], "\n")
	return fmt.Errorf("%s: %w; its last words:\n%s", what, err, tail)
}

// A made is the part of a build.json that is read.
type made struct {
	Disks []struct {
		Content string `json:"content_sha256"`
	} `json:"disks"`
	Steps []step `json:"steps"`
}

type step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Cached  bool    `json:"cached"`
}

func readMade(out string) (made, error) {
	var m made
	data, err := os.ReadFile(filepath.Join(out, "build.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("reading build.json: %w", err)
	}
	if len(m.Disks) == 0 {
		return m, errors.New("build.json names no disk")
	}
	return m, nil
}

// profile returns a sentence about the five longest steps of a build. It leaves out
// cached steps and those below 50 ms. Steps may overlap.
func profile(steps []step) string {
	long := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.Cached || s.Seconds < 0.05 })
	slices.SortStableFunc(long, func(a, b step) int { return cmp.Compare(b.Seconds, a.Seconds) })
	var words []string
	for _, s := range long[:min(5, len(long))] {
		words = append(words, fmt.Sprintf("%s %s s", s.Name, figure(s.Seconds)))
	}
	if len(words) == 0 {
		return ""
	}
	return " The longest steps of the last one: " + strings.Join(words, ", ") + "."
}
