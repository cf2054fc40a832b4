// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// coldRivals are mkosi as Debian 13 has it, and the newest one.
var coldRivals = []struct {
	name string
	tree debianTree
	note string
}{
	{"mkosi", stable, "a Debian 13 tree"},
	{"mkosi of sid", unstable, "a tree of Debian sid, with the newest mkosi there is,"},
}

// cold builds from nothing, by turns with each mkosi.
func (b *bench) cold(ctx context.Context) (all []Result, err error) {
	for _, x := range coldRivals {
		r := Result{What: "cold `flavor debian-13` to `disk.raw`, empty caches", Unit: "s", RivalName: x.name, Goal: 0.2, Note: fmt.Sprintf(coldNote, x.note)}
		rival, rivalErr := b.newMkosi(ctx, x.tree)
		turnsErr := b.byTurns(&r, rivalErr, func() (job, error) { return b.coldBuild(ctx) }, func() (job, error) {
			j, err := rival.build(ctx)
			b.rivalPeaks = append(b.rivalPeaks, mib(j.peak.PSS))
			return j, err
		})
		r.Note += b.coldProfile
		all, err = append(all, r), errors.Join(err, turnsErr)
	}
	return all, err
}

// byTurns measures ours and the rival, each round the other one first. Without the rival, for
// the reason of rivalErr or of its own, ours is measured alone, for information.
func (b *bench) byTurns(r *Result, rivalErr error, ours, rival func() (job, error)) error {
	sides := []func() error{
		func() error {
			j, err := ours()
			r.Ours = append(r.Ours, j.seconds)
			return err
		},
		func() error {
			if rivalErr != nil {
				return nil
			}
			var j job
			j, rivalErr = rival()
			r.Rival = append(r.Rival, j.seconds)
			return nil
		},
	}
	for i := range b.n {
		for k := range sides {
			if err := sides[(i+k)%2](); err != nil {
				r.Ours, r.Rival = nil, nil
				return errors.Join(err, rivalErr)
			}
		}
		b.say("   %d: %s; %s %s", i+1, r.Ours[i:].List("s"), r.RivalName, r.Rival[min(i, len(r.Rival)):].List("s"))
	}
	if rivalErr != nil {
		r.Rival, r.Goal = nil, 0
	}
	return rivalErr
}

const coldNote = "A new empty state folder and output folder each time. mkosi runs in %s made beforehand, " +
	"with an empty package cache and workspace each time, the same archive and suites, the flavor's packages and kernel, " +
	"`Format=disk`, `Bootable=yes`, systemd-boot and its own default initrd."

// coldBuild is one build from nothing.
func (b *bench) coldBuild(ctx context.Context) (job, error) {
	j, steps, err := b.fromNothing(ctx, append([]string{b.flavor}, b.mirrors.flags()...)...)
	if err == nil {
		b.coldProfile = steps
		b.peaks = append(b.peaks, j.peak)
	}
	return j, err
}

// fromNothing runs `kairos-build flavor` with a new state folder and a new output folder. It
// returns a sentence about the longest steps as well.
func (b *bench) fromNothing(ctx context.Context, args ...string) (j job, steps string, err error) {
	dir, err := os.MkdirTemp(b.temp, "cold-")
	if err != nil {
		return j, "", err
	}
	defer func() { err = errors.Join(err, b.discard(dir)) }()
	out := filepath.Join(dir, "out")
	j, err = b.kairos(ctx, b.program, filepath.Join(dir, "state"), append([]string{"flavor", "--output", out}, args...)...)
	if err != nil {
		return j, "", err
	}
	m, err := readMade(out)
	return j, profile(m.Steps), err
}

// memory returns the peak memory of the cold builds. It makes them if -only left them
// out.
func (b *bench) memory(ctx context.Context) ([]Result, error) {
	for len(b.peaks) < b.n {
		if _, err := b.coldBuild(ctx); err != nil {
			return nil, err
		}
	}
	r := Result{What: "peak memory of `kairos-build`, all children included", Unit: "MiB", Goal: 600}
	var rss Series
	for _, p := range b.peaks {
		r.Ours = append(r.Ours, mib(p.PSS))
		rss = append(rss, mib(p.RSS))
	}
	r.Note = fmt.Sprintf("Of the cold builds: the greatest sum of proportional set sizes (PSS) over all processes below the benchmark, "+
		"looked at every %d ms. The plain sum of RSS, which counts a shared page more than once, came to %s.", oftenEnough.Milliseconds(), rss.Cell("MiB"))
	if len(b.rivalPeaks) > 0 {
		r.Note += " mkosi's peak, measured alike: " + b.rivalPeaks.Cell("MiB") + "."
	}
	return []Result{r}, nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
