// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/ci/acceptance/damaged"
	"github.com/kairos-build/kairos-build/ci/acceptance/faults"
	"github.com/kairos-build/kairos-build/ci/acceptance/image"
	"github.com/kairos-build/kairos-build/ci/acceptance/life"
	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// Names in the report that are neither a firmware, a story nor a fault.
const (
	machineImage   = "image"
	machineDamaged = "damaged"
)

// A runner is a running test.
type runner struct {
	Options
	lab     *lab.Lab
	image   string       // digest of the image beside the disk, or empty
	standIn bool         // the disk is of a stand-in for a distribution
	kept    *keptResults // nil if results are not kept
	said    sync.Mutex   // guards Progress
}

// newRunner finds everything that the test needs. A missing part is an error before
// anything is started.
func newRunner(ctx context.Context, o Options) (_ *runner, err error) {
	if err := o.checkMachines(); err != nil {
		return nil, err
	}
	r := &runner{Options: o}
	r.Checked, r.Say = r.progress, func(machine, line string) { r.say(Title(machine) + ": " + line) }
	if r.lab, err = lab.New(ctx, r.Options.Options); err != nil {
		return nil, err
	}
	r.Boots = r.lab.Boots // by default all that the disk's architecture has
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.lab.Close())
	}
	return r, nil
}

func (r *runner) prepare(ctx context.Context) (err error) {
	if r.image, err = r.lab.Artifact.ImageDigest(); err != nil {
		return err
	}
	root, err := r.lab.Artifact.Root()
	if err != nil {
		return err
	}
	r.standIn = isStandIn(root)
	if r.scenarios() {
		if err := r.lab.MakeImages(ctx, r.To); err != nil {
			return fmt.Errorf("preparing the upgrade scenarios (--no-scenarios leaves them out): %w", err)
		}
	}
	if err := errors.Join(r.checkJobs(), r.checkTPM(qemu.FindTPM)); err != nil {
		return err
	}
	if r.Resume {
		if r.kept, err = openKept(r.Options, r.lab.Artifact); err != nil {
			return err
		}
	}
	return r.lab.Probe(ctx)
}

// isStandIn tells whether a root is that of a stand-in, by its own word.
func isStandIn(root fs.FS) bool {
	release := osrelease.Of(func(name string) ([]byte, error) { return fs.ReadFile(root, name) })
	return release["VARIANT_ID"] == flavors.StandIn
}

// checkMachines rejects unknown names of machines.
func (o Options) checkMachines() error {
	known := []string{string(qemu.BIOS), string(qemu.UEFI), string(qemu.SecureBoot), machineDamaged}
	for _, t := range allStories() {
		known = append(known, t.Machine)
	}
	for _, f := range faults.All() {
		known = append(known, f.Machine())
	}
	for _, name := range o.Machines {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown machine %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// checkJobs rejects machines that the other options or the disk leave out: a test that
// runs nothing would pass.
func (r *runner) checkJobs() error {
	var kinds []string
	for _, j := range r.machines() {
		kind, _, _ := strings.Cut(j.name, "@")
		kinds = append(kinds, kind)
	}
	for _, name := range r.Machines {
		if !slices.Contains(kinds, name) {
			slices.Sort(kinds)
			return fmt.Errorf("machine %q does not run on this disk with these options: there are %s", name, strings.Join(slices.Compact(kinds), ", "))
		}
	}
	return nil
}

// checkTPM rejects a test of which a machine needs a TPM, where find finds none.
func (r *runner) checkTPM(find func() (string, error)) error {
	jobs := r.wanted()
	i := slices.IndexFunc(jobs, func(j job) bool { return j.tpm })
	if i < 0 {
		return nil
	}
	if _, err := find(); err != nil {
		return fmt.Errorf("machine %q: %w, or name the machines that run without it: --machine", jobs[i].name, err)
	}
	return nil
}

// scenarios tells whether a machine that needs the image beside the disk runs.
func (r *runner) scenarios() bool {
	wants := func(name string) bool { return !slices.Contains(r.Boots, qemu.Boot(name)) }
	return !r.NoScenarios && (len(r.Machines) == 0 || slices.ContainsFunc(r.Machines, wants))
}

// A teller runs a story with one machine. The packages below have the tellers.
type teller func(context.Context, *lab.Machine)

// A job is one machine and its story.
type job struct {
	name string
	boot qemu.Boot
	tell teller
	idle bool // it waits for minutes, and does nothing
	long bool // a long life follows
	tpm  bool // its machine has a TPM
}

// machines returns all jobs: first those that wait while others work, then the long ones, so
// that the short ones fill the gaps.
func (r *runner) machines() []job {
	var jobs []job
	firmwares := r.Boots[:1]
	if r.Every {
		firmwares = r.Boots
	}
	if r.lab.Images != nil {
		for _, b := range firmwares {
			jobs = append(jobs, r.stories(b)...)
		}
	}
	for _, b := range r.Boots {
		if !r.Short || b != qemu.UEFI || len(r.Boots) == 1 {
			jobs = append(jobs, job{name: string(b), boot: b, tell: r.life(b).Tell, long: r.life(b).Long})
		}
	}
	if r.lab.Images == nil {
		return jobs
	}
	for _, b := range firmwares {
		jobs = append(jobs, r.breakages(b)...)
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return first(a.idle) - first(b.idle) })
	return jobs
}

// first orders what comes first before the rest.
func first(yes bool) int {
	if yes {
		return 0
	}
	return 1
}

// life returns the life of a healthy node under a firmware.
func (r *runner) life(b qemu.Boot) life.Life {
	main := r.Every || b == r.Boots[0]
	return life.Life{Shared: r.lab.Images != nil && main, Long: !r.NoScenarios && main, Short: r.Short}
}

// stories returns the jobs of the stories under a firmware.
func (r *runner) stories(b qemu.Boot) (jobs []job) {
	for _, t := range allStories() {
		if r.Short && !t.Short || t.Applies != nil && !t.Applies(r.lab) {
			continue
		}
		if r.Short && t.TellShort != nil {
			t.Tell = t.TellShort
		}
		b, fits := r.firmware(t, b)
		if !fits {
			continue
		}
		if t.Machine != machineRelease {
			jobs = append(jobs, job{name: r.under(t.Machine, b), boot: b, tell: t.Tell, tpm: t.TPM})
			continue
		}
		// The last firmware tests most of the boot loader.
		if last := r.Boots[len(r.Boots)-1]; r.lab.Images.Other != nil && (r.Every || b == r.Boots[0]) {
			if !r.Every {
				b = last
			}
			jobs = append(jobs, job{name: r.under(t.Machine, b), boot: b, tell: t.Tell})
		}
	}
	return jobs
}

// firmware is what a story is told under whose firmware would be b. A story is told under each
// firmware once.
func (r *runner) firmware(t story, b qemu.Boot) (_ qemu.Boot, fits bool) {
	if !t.UEFI || b != qemu.BIOS {
		return b, true
	}
	if i := slices.IndexFunc(r.Boots, func(b qemu.Boot) bool { return b != qemu.BIOS }); i >= 0 && !r.Every {
		return r.Boots[i], true
	}
	return "", false
}

// breakages returns the jobs of the faults and of the flipped byte under a firmware.
func (r *runner) breakages(b qemu.Boot) (jobs []job) {
	for _, f := range faults.All() {
		if r.Short && !f.Short || b != r.Boots[0] && f.Firmware(r.lab.Host, b) != b {
			continue
		}
		jobs = append(jobs, job{name: r.under(f.Machine(), b), boot: f.Firmware(r.lab.Host, b), tell: f.Tell, idle: f.Idle})
	}
	return append(jobs, job{name: r.under(machineDamaged, b), boot: b, tell: damaged.Tell})
}

// under returns the name of a machine, with @ and b added if b is not the usual firmware.
func (r *runner) under(machine string, b qemu.Boot) string {
	if !r.Every || b == r.Boots[0] {
		return machine
	}
	return machine + "@" + string(b)
}

// wanted returns the jobs that Options.Machines names.
func (r *runner) wanted() []job {
	if len(r.Machines) == 0 {
		return r.machines()
	}
	return slices.DeleteFunc(r.machines(), func(j job) bool {
		kind, _, _ := strings.Cut(j.name, "@")
		return !slices.Contains(r.Machines, kind)
	})
}

// run makes the static checks, then runs the machines, Jobs at a time; see lab.Places.
func (r *runner) run(ctx context.Context) *report.Report {
	made := &report.Report{
		Format: report.Format, Disk: filepath.Base(r.Options.Disk), QEMU: r.lab.Host.Version.String(),
		Accelerator: r.lab.Accel.Name, KVM: "works", Boots: []lab.Boot{}, Date: time.Now().UTC().Format(time.DateOnly),
	}
	made.Image, made.StandIn, made.Firmware = r.image, r.standIn, string(r.Boots[0])
	if r.lab.Verdict.Reason != "" {
		made.KVM = r.lab.Verdict.Reason
	}
	jobs := r.wanted()
	r.Observer.Begin(r.plan(jobs))
	made.Checks = r.examine(ctx)
	machines := r.runAll(ctx, jobs)
	for _, m := range slices.Concat(r.lab.ReadyNodes(), machines) {
		made.Boots = append(made.Boots, m.Boots...)
		made.Checks = append(made.Checks, m.Results()...)
		made.Version = cmp.Or(made.Version, m.Version)
	}
	if err := r.lab.Close(); err != nil {
		r.Log.Warn("cleaning up", "err", err)
	}
	made.Settle()
	return made
}

// runAll runs the machines. None begins after an interruption.
func (r *runner) runAll(ctx context.Context, jobs []job) []*lab.Machine {
	machines := make([]*lab.Machine, len(jobs))
	var wg sync.WaitGroup
	for i, j := range jobs {
		r.lab.Places.Take()
		if ctx.Err() != nil {
			machines[i] = r.lab.Machine(j.name, j.boot, 0)
			machines[i].Skip("begin", "the machine begins", "interrupted")
			r.lab.Places.Leave()
			continue
		}
		wg.Go(func() {
			machines[i] = r.kept.machine(j, r)
			if machines[i] == nil {
				r.Observer.Started(j.name)
				machines[i] = j.run(ctx, r)
				r.kept.keep(j, machines[i])
			}
			r.Observer.Ended(j.name)
			r.lab.Places.Leave()
		})
	}
	wg.Wait()
	return machines
}

// run does the job. If a check failed and the emulated kernel crashed, run does the job
// again on a new machine: such a failure says nothing about the disk. Each crash is
// reported, and its console log is kept beside the last one.
func (j job) run(ctx context.Context, r *runner) *lab.Machine {
	for crashes := 0; ; crashes++ {
		m := r.lab.Machine(j.name, j.boot, crashes)
		j.tell(ctx, m)
		if err := m.Close(); err != nil {
			m.Record("end", "the virtual machine ended cleanly", 0, "", err)
		}
		line, crashed := m.Crash()
		if !crashed || !m.Failed() || crashes == qemu.CrashRetries || ctx.Err() != nil {
			return m
		}
		log := r.lab.LogPath(m.Name)
		kept := fmt.Sprintf("%s.crash%d", log, crashes+1)
		r.Observer.Note(m.Name, "the emulated kernel crashed: the machine begins again")
		r.Say(m.Name, fmt.Sprintf("the emulated kernel crashed (%s); the machine begins again; its console: %s", line, kept))
		if err := os.Rename(log, kept); err != nil {
			m.Record("log", "the console log of the crash was kept", 0, "", err)
			return m
		}
	}
}

// examine checks the disk without booting it.
func (r *runner) examine(ctx context.Context) []lab.Result {
	var out []lab.Result
	for _, c := range image.Checks() {
		begin := time.Now()
		message, err := c.Run(ctx, r.lab.Artifact)
		res := lab.Result{Machine: machineImage, Name: c.Name, Title: c.Title, Status: lab.Pass, Message: message}
		if err != nil {
			res.Status, res.Message = lab.Fail, err.Error()
		}
		res.Seconds = lab.Seconds(time.Since(begin))
		r.progress(res)
		out = append(out, res)
	}
	return out
}

// progress reports a check when it has ended.
func (r *runner) progress(res lab.Result) {
	r.Observer.Checked(res)
	line := fmt.Sprintf("%s: %s: %s", Title(res.Machine), res.Title, res.Status)
	if why, _, _ := strings.Cut(res.Message, "\n"); res.Status == lab.Fail {
		line += ": " + why
	}
	r.say(line)
}

// say writes a line of progress.
func (r *runner) say(line string) {
	r.said.Lock()
	defer r.said.Unlock()
	if _, err := fmt.Fprintln(r.Progress, line); err != nil {
		r.Log.Warn("writing the progress", "err", err)
	}
}
