// SPDX-License-Identifier: Apache-2.0

// Boot takes disks that a power cut could have left and boots them in QEMU. Each must
// come up by itself. Boot also records the writes of each boot and explores power cuts
// in them: a second fault on top of the first.
//
//	boot [-states 4] [-from N] [-seed 1] [-again 2000] [-jobs N] [-no-kvm] [-report FILE] FOLDER
//
// FOLDER is a recording made by ci/crash/record. The exit code is 1 when a disk did
// not come up or a state of its second recording is bad. The files of such a disk stay.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "boot:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	dir    string
	states int
	from   int
	seed   uint64
	again  int
	jobs   int
	noKVM  bool
	report string
	resume string
}

func parse(args []string, talk io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("boot", flag.ContinueOnError)
	flags.SetOutput(talk)
	flags.IntVar(&o.states, "states", 4, "how many disks to boot")
	flags.IntVar(&o.from, "from", -1, "`number` of the first state to boot (default: the first random one)")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses the random states, as in ci/crash/explore")
	flags.IntVar(&o.again, "again", 2000, "how many cuts in the writes of each boot to check")
	flags.IntVar(&o.jobs, "jobs", min(4, runtime.NumCPU()), "machines at the same time")
	flags.BoolVar(&o.noKVM, "no-kvm", false, "use emulation without trying KVM")
	flags.StringVar(&o.report, "report", "", "`file` for the report as JSON")
	flags.StringVar(&o.resume, "resume", "", "`file` that is kept up to date, and from which to go on")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		return o, errors.New("name the folder of a recording; make one with: go run ./ci/crash/record")
	}
	o.dir = flags.Arg(0)
	return o, nil
}

func run(ctx context.Context, args []string, out, talk io.Writer) (err error) {
	o, err := parse(args, talk)
	if err != nil {
		return err
	}
	in, err := crash.OpenRecording(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	log := slog.New(slog.NewTextHandler(talk, nil))
	machine, _, err := lab.ForPerson(ctx, lab.Options{
		Disk: filepath.Join(o.dir, crash.BeforeName), Boots: []qemu.Boot{qemu.Boot(in.Firmware)}, NoKVM: o.noKVM, Log: log,
	})
	if err != nil {
		return err
	}
	machine.DiskSize, machine.Faults = 0, []qemu.Fault{} // a fallback may follow a line that looks final
	b := booter{options: o, in: in, machine: machine}
	if b.fsck, err = crash.FindFsck(); err != nil {
		return err
	}
	results, err := b.all(ctx, out)
	return errors.Join(err, o.tell(results, out))
}

// tell prints the summary, writes the report, and returns an error if a disk is bad.
func (o options) tell(results []*result, out io.Writer) error {
	down, states, bad := 0, 0, 0
	for _, r := range results {
		if r.Error != "" {
			down++
		}
		states, bad = states+r.Again, bad+r.BadAgain
	}
	_, err := fmt.Fprintf(out, "%d disks booted, %d did not come up; %d cuts in these boots checked, %d bad\n", len(results), down, states, bad)
	if o.report != "" {
		b, jerr := json.MarshalIndent(results, "", "  ")
		if jerr == nil {
			jerr = os.WriteFile(o.report, append(b, '\n'), 0o644)
		}
		err = errors.Join(err, jerr)
	}
	if down+bad > 0 {
		err = errors.Join(err, errors.New("a cut of power was not survived"))
	}
	return err
}
