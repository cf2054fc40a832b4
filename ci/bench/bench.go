// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A row is one measurement.
type row struct {
	key     string
	measure func(*bench, context.Context) ([]Result, error)
	memory  time.Duration // it measures memory too, with a look at this interval; or 0
}

// rows returns all rows in the order of measurement. cold comes first, as memory uses
// its builds. The warm rows share one state folder.
func rows() []row {
	return []row{
		{"cold", (*bench).cold, oftenEnough},
		{"memory", (*bench).memory, oftenEnough},
		{"rpm", (*bench).rpm, 0},
		{"flavors", (*bench).flavors, 0},
		{"matrix", (*bench).matrix, 0},
		{"again", (*bench).again, 0},
		{"agent", (*bench).agentChanged, 0},
		{"config", (*bench).configChanged, 0},
		{"kubernetes", (*bench).kubernetesChanged, 0},
		{"disk", (*bench).diskAlone, sampleEvery},
		{"formats", (*bench).formats, 0},
		{"formats-cold", (*bench).formatsCold, 0},
		{"boot", (*bench).boot, 0},
		{"own", (*bench).own, 0},
		{"upgrade", (*bench).upgrade, sampleEvery},
		{"faults", (*bench).faults, 0},
	}
}

func rowKeys() []string {
	var keys []string
	for _, r := range rows() {
		keys = append(keys, r.key)
	}
	return keys
}

// A bench is one run.
type bench struct {
	options
	self        string // path of this program, which is started again in rooms
	temp        string // removed at the end
	talk        io.Writer
	start       time.Time
	facts       Facts
	mirrors     mirrors
	peaks       []Peak        // of the cold builds
	rivalPeaks  Series        // of mkosi's cold builds, PSS in MiB
	coldProfile string        // of the last cold build
	sampling    time.Duration // how often to look at the memory of builds; 0: never
	warm        *warmDir      // made for the first row that needs it
	discarded   []string      // folders that are removed when the row is done
}

func newBench(ctx context.Context, o options, talk io.Writer) (*bench, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("bench needs root, for chroots and for the build engine: run `make bench`")
	}
	if _, err := os.Stat(o.program); err != nil {
		return nil, fmt.Errorf("the program to measure: %w; run `make build`", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(o.work, "run-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, self: self, temp: temp, talk: talk, start: now()}
	b.mirrors, err = findMirrors(ctx, o.mirror, o.security)
	if err != nil {
		return nil, errors.Join(err, b.clean())
	}
	b.facts, err = readFacts(ctx, o.program)
	if err != nil {
		return nil, errors.Join(err, b.clean())
	}
	return b, adopt()
}

// adopt makes this process the parent of orphans below it, so that the process tree
// whose memory is measured stays whole.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of orphans: %w", err)
	}
	return nil
}

// roomToKeep is how much of the disk stays free, in bytes.
const roomToKeep = 20 << 30

// discard has a folder removed when the row is done, or now if the disk gets full. A build that
// follows a removal would pay for it: ext4 without a journal does not use an inode again for a
// minute after it was freed, and looks at those one by one (recently_deleted in Linux'
// fs/ext4/ialloc.c).
func (b *bench) discard(dir string) error {
	b.discarded = append(b.discarded, dir)
	var disk unix.Statfs_t
	if err := unix.Statfs(b.temp, &disk); err != nil {
		return fmt.Errorf("asking how full the disk of %s is: %w", b.temp, err)
	}
	if disk.Bavail*uint64(disk.Bsize) > roomToKeep {
		return nil
	}
	return b.removeDiscarded()
}

func (b *bench) removeDiscarded() error {
	var all error
	for _, dir := range b.discarded {
		all = errors.Join(all, os.RemoveAll(dir))
	}
	b.discarded = nil
	return all
}

func (b *bench) clean() error {
	if err := os.RemoveAll(b.temp); err != nil {
		return fmt.Errorf("removing temporary files: %w", err)
	}
	return nil
}

// measure measures the rows that -only names, or all.
func (b *bench) measure(ctx context.Context) (*Report, error) {
	report := &Report{}
	var all error
	for _, r := range rows() {
		if len(b.only) > 0 && !slices.Contains(b.only, r.key) {
			continue
		}
		b.say("== %s", r.key)
		b.sampling = r.memory
		results, err := r.measure(b, ctx)
		err = errors.Join(err, b.removeDiscarded())
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		measured := Row{Key: r.key, Results: results}
		if err != nil {
			err = fmt.Errorf("row %s: %w", r.key, err)
			b.say("%v", err)
			measured.Failure = err.Error()
			all = errors.Join(all, err)
		}
		for _, res := range results {
			b.say("   %s: %s", res.What, res.Line())
		}
		report.Rows = append(report.Rows, measured)
	}
	run := Run{Facts: b.facts, Date: b.start, Took: since(b.start), N: b.n}
	for i := range report.Rows {
		report.Rows[i].Run = run
	}
	return report, all
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.talk, "%s %s\n", now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// now is the clock of all measurements.
func now() time.Time { return time.Now() }

func since(t time.Time) time.Duration { return now().Sub(t) }
