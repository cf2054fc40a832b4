// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// bootTimeout limits the boot of one disk, enough for a failed trial and its fallback
// in emulation.
const bootTimeout = 20 * time.Minute

// settleTime is how long a ready node keeps running, so that it can mark its slot.
const settleTime = 5 * time.Second

var readyLine = regexp.MustCompile(`kairos: ready slot=(\S+) mode=(\S+)`)

// A result says how the boot of one state ended.
type result struct {
	State   int     `json:"state"`
	When    string  `json:"when"`
	Slot    string  `json:"slot,omitempty"` // slot that came up
	Mode    string  `json:"mode,omitempty"`
	Seconds float64 `json:"seconds"`         // until it was ready
	Error   string  `json:"error,omitempty"` // why it did not come up
	// Again counts the checked power cuts in the writes of this boot.
	Again    int    `json:"again"`
	BadAgain int    `json:"badAgain"`
	FirstBad string `json:"firstBad,omitempty"`
}

type booter struct {
	options
	in      *crash.OpenedRecording
	machine qemu.Config
	fsck    string // program
}

// all boots the states, b.jobs at a time, and stops when ctx ends. It returns the
// results of the boots that ended.
func (b booter) all(ctx context.Context, out io.Writer) ([]*result, error) {
	from := b.from
	if from < 0 {
		from = b.in.Timeline.Boundaries()
	}
	results := make([]*result, b.states)
	done, err := openProgress(b.resume, b.in.Timeline.Fingerprint(), b.seed, b.again)
	if err != nil {
		return nil, err
	}
	var said sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, b.jobs))
	for i := range results {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r, err := b.oneOrKept(ctx, done, from+i)
			if err != nil {
				return fmt.Errorf("booting state %d: %w", from+i, err)
			}
			results[i] = &r
			said.Lock()
			defer said.Unlock()
			_, err = fmt.Fprintln(out, r)
			return errors.Join(err, done.add(r))
		})
	}
	err = group.Wait()
	return slices.DeleteFunc(results, func(r *result) bool { return r == nil }), err
}

// oneOrKept boots a state, or returns the result that an earlier run kept.
func (b booter) oneOrKept(ctx context.Context, done *progress, number int) (result, error) {
	if r, kept := done.result(number); kept {
		return r, nil
	}
	return b.one(ctx, number)
}

// String is the line that the user reads.
func (r result) String() string {
	if r.Error != "" {
		return fmt.Sprintf("%s: DID NOT COME UP: %s", r.When, r.Error)
	}
	line := fmt.Sprintf("%s: slot %s, %s, in %.0f s", r.When, r.Slot, r.Mode, r.Seconds)
	if r.Again > 0 {
		line += fmt.Sprintf("; %d cuts in this boot, %d bad", r.Again, r.BadAgain)
	}
	if r.FirstBad != "" {
		line += ": " + r.FirstBad
	}
	return line
}

// A trial names the files of one state.
type trial struct{ disk, log, console string }

func (b booter) trial(number int) trial {
	base := filepath.Join(b.dir, fmt.Sprintf("state-%d", number))
	return trial{base + ".raw", base + ".log", base + ".console"}
}

func (t trial) remove() error {
	var errs []error
	for _, path := range []string{t.disk, t.log, t.console} {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (b booter) one(ctx context.Context, number int) (result, error) {
	t, state := b.trial(number), b.in.Timeline.State(b.seed, number)
	r := result{State: number, When: state.String()}
	if err := t.remove(); err != nil {
		return r, err
	}
	if err := b.in.Timeline.Materialise(state, t.disk); err != nil {
		return r, err
	}
	if err := b.comesUp(ctx, t, &r); err != nil {
		if ctx.Err() != nil {
			return r, errors.Join(ctx.Err(), t.remove())
		}
		r.Error = err.Error()
		return r, nil
	}
	if b.again > 0 {
		if err := b.explore(ctx, t, &r); err != nil {
			return r, err
		}
	}
	if r.BadAgain > 0 {
		return r, nil
	}
	return r, t.remove()
}

// comesUp boots the disk and cuts the power settleTime after the node is ready.
func (b booter) comesUp(ctx context.Context, t trial, r *result) (err error) {
	ctx, cancel := qemu.WithTimeout(ctx, bootTimeout)
	defer cancel()
	c := b.machine
	c.Disk, c.WriteLog, c.ConsoleLog = t.disk, t.log, t.console
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	begin := time.Now() //nolint:forbidigo // how long it took
	m, err := vm.WaitLine(ctx, readyLine)
	if err != nil {
		return err
	}
	r.Slot, r.Mode, r.Seconds = m.Groups[1], m.Groups[2], m.At.Sub(begin).Seconds()
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
	}
	return nil
}

// explore checks the power cuts in the writes of the boot that followed the first cut.
func (b booter) explore(ctx context.Context, t trial, r *result) (err error) {
	disk, err := os.Open(t.disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	log, err := os.Open(t.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	info, err := log.Stat()
	if err != nil {
		return err
	}
	again, err := crash.NewTimeline(disk, b.in.Timeline.Size, log, info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.log, err)
	}
	checker, err := crash.NewChecker(again, b.in.Known)
	if err != nil {
		return err
	}
	checker.Fsck = &crash.Fsck{Program: b.fsck}
	report, err := crash.Explore{Seed: b.seed, States: b.again, Collect: b.again}.Run(ctx, again, checker)
	if err != nil {
		return err
	}
	r.Again, r.BadAgain = report.Next, len(report.Bad)
	if len(report.Bad) > 0 {
		bad := report.Bad[0]
		r.FirstBad = fmt.Sprintf("%s: %s: %s (go run ./ci/crash/explore -base %s -log %s -seed %d -materialise %d -o twice.raw)",
			bad.When, bad.Part, bad.What, t.disk, t.log, b.seed, bad.State)
	}
	return nil
}
