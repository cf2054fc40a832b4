// SPDX-License-Identifier: Apache-2.0

// Package acceptance proves that a disk is what it claims to be. It boots DIR/disk.raw
// in virtual machines, looks around inside, writes, reboots, damages a block, and
// reports what holds and what does not. `kairos-build test` runs it.
//
// The packages below it say what is done with a machine: life, upgrade, configured,
// faults, damaged. Package image checks the disk without booting it. This package
// chooses the machines, runs them at the same time, and makes the report.
package acceptance

import (
	"context"
	"io"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// Options say which disk is tested and how. Only Dir is needed.
type Options struct {
	lab.Options
	// Machines are the names, as in the report, of the machines that run: bios, upgrade,
	// fault-panic, …; default all.
	Machines []string
	// To is a folder like Dir, of a later release, that a machine is upgraded to;
	// default none.
	To string
	// Short runs a part of each area: one life with upgrades, one fault for each way
	// back, the config, BIOS and Secure Boot.
	Short bool
	// Every runs each story and each fault under each of Boots; default: under the
	// first.
	Every bool
	// Resume reuses the results of machines that passed in an earlier run with Resume,
	// of the same disk and with the same program.
	Resume bool
	// NoScenarios leaves out the machines that need DIR/image beside the disk, which are
	// the stories and the faults, and the long life of a healthy node.
	NoScenarios bool
	// Progress gets a line for each event; default: discarded.
	Progress io.Writer
	// Observer is told what happens; default: none.
	Observer Observer
}

// Run tests a disk. A failed check is in the report and is no error: see Report.Passed.
// An error says why the test could not run: no QEMU, no firmware, no disk. In any other
// case, also when ctx ends early, Run makes the report and the results beside the disk
// (test.json, test.xml and the console logs in test-logs).
func Run(ctx context.Context, o Options) (*report.Report, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	var err error
	if o.Options, err = o.WithDefaults(); err != nil {
		return nil, err
	}
	begin := time.Now()
	r, err := newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	made := r.run(ctx)
	made.Seconds = lab.Seconds(time.Since(begin))
	if err := made.WriteFiles(o.Dir); err != nil {
		return made, err
	}
	return made, ctx.Err()
}
