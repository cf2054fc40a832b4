// SPDX-License-Identifier: Apache-2.0

// Record boots DIR/disk.raw in QEMU and records every write to it: through the first
// boot, an upgrade, the trial of the new slot, the mark that it is good, and the
// rollback. The recording is for ci/crash/explore and ci/crash/boot.
//
//	record [-boot bios|uefi] [-short] [-no-kvm] -o FOLDER DIR
//
// It prints how many writes went to a running slot. The exit code is 1 when there was
// one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, talk io.Writer) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	flags.SetOutput(talk)
	short := flags.Bool("short", false, "end after the upgraded slot is good, without a rollback")
	boot := flags.String("boot", string(qemu.BIOS), "`firmware` of the machine: bios or uefi")
	noKVM := flags.Bool("no-kvm", false, "use emulation without trying KVM")
	into := flags.String("o", "", "`folder` for the recording")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *into == "" {
		return errors.New("want a folder for the recording and one with disk.raw: record -o FOLDER DIR")
	}
	if b := qemu.Boot(*boot); b != qemu.BIOS && b != qemu.UEFI {
		return fmt.Errorf("unknown firmware %q: use bios or uefi (the other boot loader that is recorded has no signature for Secure Boot)", b)
	}
	recording, err := record(ctx, lab.Options{
		Dir: *into, Disk: filepath.Join(flags.Arg(0), "disk.raw"), Boots: []qemu.Boot{qemu.Boot(*boot)}, NoKVM: *noKVM,
		Checked: func(res lab.Result) { fmt.Fprintf(talk, "%s: %s: %s\n", res.Machine, res.Title, res.Status) },
		Log:     slog.New(slog.NewTextHandler(talk, nil)),
	}, *short)
	if err != nil {
		return err
	}
	return count(*into, recording, out)
}

// count reports the partitions that the writes went to.
func count(dir string, r crash.Recording, out io.Writer) error {
	in, err := crash.OpenRecording(dir)
	if err != nil {
		return err
	}
	prints, err := in.Timeline.Footprints(r)
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	return tell(prints, out)
}

func tell(prints []crash.Footprint, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "step\tseconds\trunning\twrites\tto any slot\tto a running slot")
	active := 0
	for _, f := range prints {
		fmt.Fprintf(table, "%s\t%.0f\t%s\t%d\t%d\t%d\n", f.Step.Name, f.Step.Seconds, f.Step.Running, f.Writes, f.Slots, f.Active)
		active += f.Active
	}
	err := table.Flush()
	if active > 0 {
		err = errors.Join(err, fmt.Errorf("%d writes went to a slot that was running: there must be none", active))
	}
	return err
}
