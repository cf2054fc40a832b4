// SPDX-License-Identifier: Apache-2.0

// Package acceptance proves that a disk is what it claims to be: it boots
// DIR/disk.raw in virtual machines, looks around inside, writes, reboots, damages
// a block, and says what holds and what does not. It is what `kairos-build test`
// runs.
//
// The artifact is never written to. Each machine works on a copy-on-write overlay
// in which the oem partition has one more file, a cloud-config that lets the test
// log in, and in which the disk is larger than the artifact, so that the
// persistent partition has something to grow into.
//
// One node boots, says that it is ready, and is frozen; every story and fault that
// begins with a node that runs goes on from a copy of it (readyNodes).
//
// The checks are a table: Checks. What a machine does is another: machines.
package acceptance

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// Options say what is tested and how. Only Dir is needed.
type Options struct {
	Dir string // holds disk.raw; gets the results
	// Disk is the image to boot; default disk.raw in Dir.
	Disk  string
	Boots []qemu.Boot // default: all of them
	QEMU  string      // program; default qemu-system-x86_64 in PATH
	// NoKVM goes straight to emulation.
	NoKVM bool
	// CacheDir keeps the answer to whether KVM works; default kairos-build in the
	// user's cache directory.
	CacheDir string
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
	// Jobs is how many machines run at the same time; default one for each CPU of
	// the host, at most 4. Those that only wait for their watchdog, two at most,
	// are not counted; they keep their memory.
	Jobs int
	// BootTimeout limits one boot, from QEMU's start to the first login; default 2
	// minutes with KVM and 10 minutes in emulation, which is ten times what an idle
	// computer needs. A boot that has failed is noticed much earlier.
	BootTimeout time.Duration
	// Progress gets a line for each event; default: nothing.
	Progress io.Writer
	// Observer is told what happens; default: nobody.
	Observer Observer
	Log      *slog.Logger // default: nothing
}

// bootTimeout is the default of Options.BootTimeout.
func bootTimeout(a qemu.Accelerator) time.Duration {
	if a.Name == qemu.KVM().Name {
		return 2 * time.Minute
	}
	return 10 * time.Minute
}

func (o Options) withDefaults() (Options, error) {
	if o.Disk == "" {
		o.Disk = filepath.Join(o.Dir, "disk.raw")
	}
	if len(o.Boots) == 0 {
		o.Boots = qemu.Boots()
	}
	if o.Jobs == 0 {
		o.Jobs = defaultJobs()
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheDir == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			o.CacheDir = filepath.Join(cache, "kairos-build")
		}
	}
	if _, err := os.Stat(o.Disk); err != nil {
		return o, fmt.Errorf("nothing to test: %w: build it with: kairos-build flavor debian-13 -o %s", err, o.Dir)
	}
	return o, nil
}

// defaultJobs lets every CPU emulate one machine.
func defaultJobs() int { return min(4, max(1, runtime.NumCPU())) }

// Run tests a disk. A check that fails is in the report and is no error: ask
// Report.Passed. Errors are what keeps the test from being made: no QEMU, no
// firmware, no disk. The report, and the results beside the disk (test.json,
// test.xml and the console logs in test-logs), are made in any other case, also
// when ctx ends early.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	r, err := newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	report := r.run(ctx)
	report.Seconds = seconds(time.Since(begin))
	if err := report.WriteFiles(o.Dir); err != nil {
		return report, err
	}
	return report, ctx.Err()
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
