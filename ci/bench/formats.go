// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A conversion is how qemu-img makes a format from the raw disk.
type conversion struct {
	artifact string // its name for kairos-build
	args     []string
}

// conversions are the formats of the row, besides raw, with the options that make qemu-img
// write what kairos-build writes.
func conversions() []conversion {
	return []conversion{
		{"qcow2", []string{"-O", "qcow2"}},
		{"vmdk", []string{"-O", "vmdk", "-o", "subformat=streamOptimized"}},
		{"vhd", []string{"-O", "vpc", "-o", "subformat=dynamic,force_size=on"}},
		{"vhdx", []string{"-O", "vhdx", "-o", "subformat=dynamic"}},
	}
}

// fiveArtifacts are the formats of the row, for --artifact.
func fiveArtifacts() string {
	names := []string{"raw"}
	for _, c := range conversions() {
		names = append(names, c.artifact)
	}
	return strings.Join(names, ",")
}

// formatTimes are the figures of the row, one for each round, in seconds.
type formatTimes struct {
	raw, rawCPU, five, fiveCPU Series
	converted                  Series // raw, and then qemu-img for the others
}

// formats makes the raw disk alone, five formats in one run, and the same five with
// qemu-img, by turns. The first round does not count: it brings the image into memory.
func (b *bench) formats(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("asking qemu-img for its version: %w; run `ci/setup/install run`", err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "qemu-img version "), "\n")
	b.rival("qemu-img", version)
	var t formatTimes
	for i := range b.n + 1 {
		if i == 1 {
			t = formatTimes{}
		}
		if err := b.formatRound(ctx, filepath.Join(w.out, "image"), &t); err != nil {
			return nil, err
		}
	}
	return t.results(), nil
}

func (b *bench) formatRound(ctx context.Context, image string, t *formatTimes) (err error) {
	dir, err := os.MkdirTemp(b.temp, "formats-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	five, err := b.disks(ctx, image, filepath.Join(dir, "five"), fiveArtifacts())
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "five")); err != nil {
		return err
	}
	raw, err := b.disks(ctx, image, filepath.Join(dir, "raw"), "raw")
	if err != nil {
		return err
	}
	converted := raw.seconds
	for _, c := range conversions() {
		args := append(append([]string{"convert", "-f", "raw"}, c.args...), filepath.Join(dir, "raw", "disk.raw"), filepath.Join(dir, c.artifact))
		cmd := exec.CommandContext(ctx, "qemu-img", args...)
		var words strings.Builder
		cmd.Stderr = &words
		j, err := b.timed(ctx, cmd)
		if err != nil {
			return fmt.Errorf("qemu-img %s: %w: %s", strings.Join(args, " "), err, words.String())
		}
		converted += j.seconds
	}
	t.five, t.fiveCPU = append(t.five, five.seconds), append(t.fiveCPU, five.cpu)
	t.raw, t.rawCPU = append(t.raw, raw.seconds), append(t.rawCPU, raw.cpu)
	t.converted = append(t.converted, converted)
	n := len(t.raw) - 1
	b.say("   raw %s, five %s, with qemu-img %s", t.raw[n:].List("s"), t.five[n:].List("s"), t.converted[n:].List("s"))
	return nil
}

// disks makes disks of an image in a new folder: disk.raw, and others beside it.
func (b *bench) disks(ctx context.Context, image, dir, artifacts string) (job, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return job{}, err
	}
	return b.kairos(ctx, b.program, filepath.Join(dir, "state"), "disk", image, "--output", filepath.Join(dir, "disk.raw"), "--artifact", artifacts)
}

const (
	formatsNote = "`kairos-build disk` with `--artifact raw,qcow2,vmdk,vhd,vhdx`, beside the same with `--artifact raw`, each to an empty folder with an empty state folder. " +
		"The five have four times the bytes of the raw disk, and VMDK is compressed. One round before the first does not count."
	formatsCPUNote  = "The same runs: user and system time of the process."
	formatsQEMUNote = "The same runs. The rival makes the raw disk with kairos-build, and the four others from it with `qemu-img convert`, one after the other: qcow2, VMDK (streamOptimized), dynamic VHD with the exact size, dynamic VHDX."
)

// formatsCold builds five formats from nothing, by turns with the raw disk alone.
func (b *bench) formatsCold(ctx context.Context) ([]Result, error) {
	r := Result{What: "cold `flavor debian-13` to five formats of its disk", Unit: "s", RivalName: "raw alone", Goal: 1.3,
		Note: "`--artifact image," + fiveArtifacts() + "` beside `--artifact image,raw`, with an empty state folder and output folder each time."}
	build := func(artifacts string) (job, error) {
		j, _, err := b.fromNothing(ctx, append([]string{b.flavor, "--artifact", "image," + artifacts}, b.mirrors.flags()...)...)
		return j, err
	}
	err := b.byTurns(&r, nil,
		func() (job, error) { return build(fiveArtifacts()) },
		func() (job, error) { return build("raw") })
	return []Result{r}, err
}

// results returns the lines of the table.
func (t formatTimes) results() []Result {
	const what = "disk formats: raw, qcow2, VMDK, VHD and VHDX of an image"
	return []Result{
		{What: what, Unit: "s", Ours: t.five, Rival: t.raw, RivalName: "raw alone", Goal: 1.3, Note: formatsNote},
		{What: "CPU time of that", Unit: "s", Ours: t.fiveCPU, Rival: t.rawCPU, RivalName: "raw alone", Note: formatsCPUNote},
		{What: what + ", beside qemu-img", Unit: "s", Ours: t.five, Rival: t.converted, RivalName: "qemu-img", Note: formatsQEMUNote},
	}
}
