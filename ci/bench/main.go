// SPDX-License-Identifier: Apache-2.0

// Bench measures kairos-build against rivals: the time and memory of its builds against
// mkosi, of deb and of rpm packages, its disk formats against qemu-img, the boot of its disk against the same tree with
// a stock dracut initrd, and an upgrade by the agent against dd. It measures in one run on one machine, ours and the
// rival by turns. Only this program writes the table in docs/bench.md. With -only, the
// other rows of the table keep their figures, date and machine, which come from
// bench.json beside the table. One row is read from the last acceptance test.
//
//	bench [-n 5] [-only cold,boot] [-o docs/bench.md] [-work DIR]
//
// It needs root (chroots, loop devices, the embedded engine), `make build`, and the
// programs of `ci/setup/install run bench`. The rivals run in their own mount
// namespaces, and loop devices end with their last user, so neither outlasts the
// program, however it ends. Temporary files go to one folder below -work, which is
// removed at the end and after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roomVerb {
		fmt.Fprintln(os.Stderr, "bench:", enterRoom(os.Args[2:]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the rows that -only names, or all, and writes the table. A failed row is
// marked in the table; the others are still measured.
func run(ctx context.Context, args []string, talk io.Writer) error {
	o, err := parseOptions(args, talk)
	if err != nil {
		return err
	}
	old := &Report{}
	if len(o.only) > 0 {
		if old, err = readReport(o.output); err != nil {
			return err
		}
	}
	b, err := newBench(ctx, o, talk)
	if err != nil {
		return err
	}
	report, err := b.measure(ctx)
	err = errors.Join(err, b.clean())
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was written or left behind")
	}
	if report == nil {
		return err
	}
	if werr := report.keep(old).write(o.output); werr != nil {
		return errors.Join(err, werr)
	}
	b.say("wrote %s", o.output)
	return err
}

// options are the flags.
type options struct {
	n        int
	only     []string // keys of rows; empty means all
	output   string
	work     string
	program  string // the kairos-build to measure
	agent    string // the agent embedded in it
	tested   string // test.json of the flavor
	flavor   string
	releases string // a mirror of k3s, see -releases
	hollow   string // a mirror of k3s and k0s, see -hollow
	standin  string // folder that ci/standin made of an rpm distribution
	mirror   string
	security string
}

func parseOptions(args []string, talk io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(talk)
	flags.IntVar(&o.n, "n", 5, "how often each thing is measured")
	flags.StringVar(&only, "only", "", "rows to measure, by comma: "+strings.Join(rowKeys(), ", ")+" (default all)")
	flags.StringVar(&o.output, "o", "docs/bench.md", "the Markdown file to write")
	flags.StringVar(&o.work, "work", defaultWork(), "folder for caches of the rivals and temporary files: several GiB")
	flags.StringVar(&o.program, "kairos-build", "bin/kairos-build", "the program to measure")
	flags.StringVar(&o.agent, "agent", "framework/rootfs/payload/bin/amd64/kairos-agent", "the agent that is inside it")
	flags.StringVar(&o.tested, "test-json", "out/debian-13/test.json", "the last results of kairos-build test, for the row faults")
	flags.StringVar(&o.releases, "releases", ".tools/kubernetes/mirror-bench", "folder with v1.36.100+k3s1, v1.36.101+k3s1, …, one more than -n, for the row kubernetes: make bench makes it")
	flags.StringVar(&o.hollow, "hollow", ".tools/kubernetes/mirror-hollow", "folder with small files of k3s and k0s, for the row matrix: make bench makes it")
	flags.StringVar(&o.standin, "standin", ".tools/standin/rocky-9", "folder that ci/standin made of an rpm distribution, for the row rpm: make bench makes it")
	flags.StringVar(&o.mirror, "mirror", "", "archive that all sides use (default: the host's own, as apt has it)")
	flags.StringVar(&o.security, "mirror-security", "", "security archive that all sides use (default: like -mirror)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.flavor = "debian-13"
	return o, o.check(only, flags.Args())
}

func (o *options) check(only string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("bench takes no arguments, and got %q", rest)
	}
	if o.n < 1 {
		return fmt.Errorf("-n %d: at least 1", o.n)
	}
	for key := range strings.SplitSeq(only, ",") {
		if key == "" {
			continue
		}
		if !slices.Contains(rowKeys(), key) {
			return fmt.Errorf("-only %s: there is no such row; want some of %s", key, strings.Join(rowKeys(), ", "))
		}
		o.only = append(o.only, key)
	}
	for _, p := range []*string{&o.output, &o.work, &o.program, &o.agent, &o.tested, &o.releases, &o.hollow, &o.standin} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

// defaultWork is a folder in the user's cache folder: the mkosi tree is worth keeping.
func defaultWork() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "kairos-bench")
}
