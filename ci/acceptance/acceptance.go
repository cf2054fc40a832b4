// SPDX-License-Identifier: Apache-2.0

// Package acceptance proves that a disk is what it claims to be: it boots
// DIR/disk.raw in virtual machines, looks around inside, writes, reboots, damages
// a block, and says what holds and what does not. It is what `kairos-build test`
// runs.
//
// What is done with a machine is told by the packages below: life, upgrade,
// configured, faults, damaged; image looks at the disk without booting it. This one
// chooses the machines, runs them at the same time, and makes the report.
package acceptance

import (
	"context"
	"io"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// Options say what is tested and how. Only Dir is needed.
type Options struct {
	lab.Options
	// Machines are those that run, by their names in the report: bios, upgrade,
	// fault-panic, …; default all.
	Machines []string
	// To is a folder like Dir, of a later release, that a machine is upgraded to;
	// default none.
	To string
	// Short is a part of everything: one life with upgrades, one fault of each way
	// back, the config, BIOS and Secure Boot.
	Short bool
	// Every tells each story and each fault under each of Boots; default: under the
	// first.
	Every bool
	// Resume takes the machines that passed in an earlier run with this option, of
	// the same disk and with the same program, as they were.
	Resume bool
	// NoScenarios leaves out the machines that need DIR/image beside the disk:
	// the upgrade and the faults.
	NoScenarios bool
	// Progress gets a line for each event; default: nothing.
	Progress io.Writer
	// Observer is told what happens; default: nobody.
	Observer Observer
}

// Run tests a disk. A check that fails is in the report and is no error: ask
// Report.Passed. Errors are what keeps the test from being made: no QEMU, no
// firmware, no disk. The report, and the results beside the disk (test.json,
// test.xml and the console logs in test-logs), are made in any other case, also
// when ctx ends early.
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
