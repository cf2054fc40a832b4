// SPDX-License-Identifier: Apache-2.0

// Explore takes a disk and the log of the writes to it, and checks the disks that a
// power cut could have left (see ci/crash). The report goes to stdout. The exit code is
// 1 when a state is bad.
//
//	explore -recording FOLDER [-states 100000] …
//	explore -base before.raw -log writes.log [-known new.raw] [-states 100000] [-seed 1]
//	        [-resume FILE] [-report FILE] [-collect 1] [-workers N] [-fsck 1000]
//	explore -base before.raw -log writes.log -materialise N -o disk.raw
//
// FOLDER is what ci/crash/record makes. With -materialise, explore only writes the disk
// of a state to a file, to boot or inspect it.
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
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/ci/crash"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	base, log   string
	size        int64
	known       []string
	states      int
	seed        uint64
	resume      string
	report      string
	collect     int
	workers     int
	fsck        int
	materialise int
	output      string
}

func parse(args []string, talk io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("explore", flag.ContinueOnError)
	flags.SetOutput(talk)
	flags.StringVar(&o.base, "base", "", "raw `disk` as it was before the first write of the log")
	flags.Int64Var(&o.size, "size", 0, "bytes of the disk that the machine saw (default: those of -base)")
	flags.StringVar(&o.log, "log", "", "`log` of the writes, of QEMU's blklogwrites or dm-log-writes")
	flags.Func("known", "raw `disk` whose slots have images that may be booted; may be given again (default: the disk after the last write)", func(path string) error {
		o.known = append(o.known, path)
		return nil
	})
	flags.Func("recording", "`folder` of ci/crash/record, in place of -base, -log and -known", func(dir string) error {
		o.base, o.log = filepath.Join(dir, crash.BeforeName), filepath.Join(dir, crash.LogName)
		o.known = append(o.known, filepath.Join(dir, crash.KnownName))
		return nil
	})
	flags.IntVar(&o.states, "states", 100_000, "how many states to check")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses the random states")
	flags.StringVar(&o.resume, "resume", "", "`file` that is kept up to date, and from which to go on")
	flags.StringVar(&o.report, "report", "", "`file` for the report as JSON")
	flags.IntVar(&o.collect, "collect", 1, "how many bad states are enough")
	flags.IntVar(&o.workers, "workers", 0, "states that are checked at once (default: one for each processor)")
	flags.IntVar(&o.fsck, "fsck", 1000, "ask e2fsck about one in so many file systems, and about each damaged one; 0: never")
	flags.IntVar(&o.materialise, "materialise", -1, "write the disk of state `N` to -o, and check nothing")
	flags.StringVar(&o.output, "o", "", "`file` for -materialise")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("argument %q is not known; see -help", flags.Arg(0))
	case o.base == "" || o.log == "":
		return o, errors.New("name a recording with -recording, or a disk with -base and a log with -log")
	case (o.materialise >= 0) != (o.output != ""):
		return o, errors.New("-materialise and -o belong together")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, talk io.Writer) (err error) {
	o, err := parse(args, talk)
	if err != nil {
		return err
	}
	in := &inputs{}
	defer func() { err = errors.Join(err, in.close()) }()
	t, err := o.timeline(in)
	if err != nil {
		return err
	}
	if o.materialise >= 0 {
		return o.write(t, out)
	}
	checker, err := o.checker(in, t)
	if err != nil {
		return err
	}
	report, err := crash.Explore{
		Seed: o.seed, States: o.states, Collect: o.collect, Workers: o.workers,
		Progress: o.resume, Reproduce: o.reproduce, Log: slog.New(slog.NewTextHandler(talk, nil)),
	}.Run(ctx, t, checker)
	if report == nil {
		return err
	}
	return errors.Join(err, o.tell(report, out))
}

func (o options) timeline(in *inputs) (*crash.Timeline, error) {
	base, size, err := in.open(o.base)
	if err != nil {
		return nil, err
	}
	log, logSize, err := in.open(o.log)
	if err != nil {
		return nil, err
	}
	t, err := crash.NewTimeline(base, max(size, o.size), log, logSize)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.log, err)
	}
	return t, nil
}

func (o options) checker(in *inputs, t *crash.Timeline) (*crash.Checker, error) {
	var known []crash.Disk
	for _, path := range o.known {
		f, size, err := in.open(path)
		if err != nil {
			return nil, err
		}
		known = append(known, crash.Disk{ReaderAt: f, Size: size})
	}
	checker, err := crash.NewChecker(t, known...)
	if err != nil || o.fsck == 0 {
		return checker, err
	}
	program, err := crash.FindFsck()
	if err != nil {
		return nil, fmt.Errorf("%w (-fsck 0)", err)
	}
	checker.Fsck = &crash.Fsck{Program: program, Every: o.fsck}
	return checker, nil
}

func (o options) write(t *crash.Timeline, out io.Writer) error {
	s := t.State(o.seed, o.materialise)
	if err := t.Materialise(s, o.output); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: %s\n", o.output, s)
	return err
}

// reproduce returns the command that writes the disk of a state.
func (o options) reproduce(number int) string {
	words := []string{"go run ./ci/crash/explore", "-base", o.base, "-log", o.log}
	if o.size != 0 {
		words = append(words, "-size", fmt.Sprint(o.size))
	}
	words = append(words, "-seed", fmt.Sprint(o.seed), "-materialise", fmt.Sprint(number), "-o", fmt.Sprintf("state-%d.raw", number))
	return strings.Join(words, " ")
}

func (o options) tell(r *crash.Report, out io.Writer) error {
	_, err := io.WriteString(out, r.Text())
	if o.report != "" {
		b, jerr := r.JSON()
		if jerr == nil {
			jerr = os.WriteFile(o.report, b, 0o644)
		}
		if jerr != nil {
			err = errors.Join(err, fmt.Errorf("writing the report: %w", jerr))
		}
	}
	if len(r.Bad) > 0 {
		err = errors.Join(err, fmt.Errorf("state %d is bad", r.Bad[0].State))
	}
	return err
}

// inputs are the files that are open for reading.
type inputs struct{ files []*os.File }

func (in *inputs) open(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	in.files = append(in.files, f)
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (in *inputs) close() error {
	var err error
	for _, f := range in.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
