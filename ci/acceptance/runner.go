// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// Names of what is tested that are no firmware.
const (
	machineImage   = "image"
	machineDamaged = "damaged"
)

// A runner is what all machines share.
type runner struct {
	Options
	host    qemu.Host
	accel   qemu.Accelerator
	verdict qemu.Verdict
	image   string // digest of what is beside the disk, or empty
	disk    *Disk  // the artifact; Options.Disk is its path
	key     qemu.Key
	access  []byte     // cloud-config that lets the key in
	oem     qemu.Patch // with access
	lab     *lab       // nil when no scenario runs
	nodes   *readyNodes
	kept    *keptResults // nil when nothing is to be kept
	places  places       // of the machines that run
	said    sync.Mutex   // over Progress
}

// newRunner finds everything that the test needs, and says all that is missing
// before anything is started.
func newRunner(ctx context.Context, o Options) (*runner, error) {
	r := &runner{Options: o, places: make(places, o.Jobs), nodes: newReadyNodes()}
	var err error
	if err := o.checkMachines(); err != nil {
		return nil, err
	}
	if r.host, err = qemu.Find(ctx, o.QEMU); err != nil {
		return nil, err
	}
	for _, b := range o.Boots {
		if _, err := r.host.Firmware(b); err != nil {
			return nil, err
		}
	}
	if r.disk, err = OpenDisk(o.Disk); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.disk.Close())
	}
	return r, nil
}

func (r *runner) prepare(ctx context.Context) error {
	var err error
	if r.key, err = qemu.NewKey(); err != nil {
		return err
	}
	config, err := access(r.key.Authorized())
	if err != nil {
		return err
	}
	r.access = config
	if r.oem, err = r.oemWith(nil); err != nil {
		return err
	}
	if r.image, err = r.disk.imageDigest(); err != nil {
		return err
	}
	if err := r.makeLab(ctx); err != nil {
		return err
	}
	if r.Resume {
		if r.kept, err = openKept(r.Options, r.disk); err != nil {
			return err
		}
	}
	r.verdict, err = accelerator(ctx, r.Options, r.host, r.disk)
	r.accel = r.verdict.Accel
	if r.BootTimeout == 0 {
		r.BootTimeout = bootTimeout(r.accel)
	}
	return err
}

// checkMachines finds names of machines that there are not.
func (o Options) checkMachines() error {
	known := []string{string(qemu.BIOS), string(qemu.UEFI), string(qemu.SecureBoot), machineDamaged}
	for _, t := range tales() {
		known = append(known, t.Machine)
	}
	for _, f := range faults() {
		known = append(known, machineFault(f))
	}
	for _, name := range o.Machines {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown machine %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// makeLab prepares the scenarios, if any is wanted.
func (r *runner) makeLab(ctx context.Context) error {
	wants := func(name string) bool { return !slices.Contains(r.Boots, qemu.Boot(name)) }
	if r.NoScenarios || len(r.Machines) > 0 && !slices.ContainsFunc(r.Machines, wants) {
		return nil
	}
	dir, err := os.MkdirTemp("", "kairos-build-lab-")
	if err != nil {
		return err
	}
	if r.lab, err = newLab(ctx, dir, r.disk, r.To); err != nil {
		return errors.Join(fmt.Errorf("preparing the upgrade scenarios (--no-scenarios leaves them out): %w", err), os.RemoveAll(dir))
	}
	return nil
}

// oemWith is the oem partition with the test's access and more files.
func (r *runner) oemWith(files map[string][]byte) (qemu.Patch, error) {
	all := map[string][]byte{accessFile: r.access}
	maps.Copy(all, files)
	return r.disk.OEM(all)
}

// accelerator tries KVM with the disk's own kernel.
func accelerator(ctx context.Context, o Options, host qemu.Host, disk *Disk) (qemu.Verdict, error) {
	if o.NoKVM {
		return qemu.Verdict{Accel: qemu.TCG(host.Version), Reason: "not wanted"}, nil
	}
	kernel, err := disk.BootFile(layout.BootKernel)
	if err != nil {
		return qemu.Verdict{}, err
	}
	dir, err := os.MkdirTemp("", "kairos-build-kernel-")
	if err != nil {
		return qemu.Verdict{}, err
	}
	path := filepath.Join(dir, "vmlinuz")
	if err := os.WriteFile(path, kernel, 0o600); err != nil {
		return qemu.Verdict{}, errors.Join(err, os.RemoveAll(dir))
	}
	prober := qemu.Prober{Host: host, Kernel: path, CacheDir: o.CacheDir, Log: o.Log}
	verdict, err := prober.Probe(ctx)
	return verdict, errors.Join(err, os.RemoveAll(dir))
}

// A job is what is done with one machine.
type job struct {
	name string
	boot qemu.Boot
	do   func(context.Context, *session)
}

// machines is the plan: the long ones first, so that the short ones fill the gaps.
func (r *runner) machines() []job {
	var jobs []job
	firmwares := r.Boots[:1]
	if r.Every {
		firmwares = r.Boots
	}
	if r.lab != nil {
		for _, b := range firmwares {
			jobs = append(jobs, r.stories(b)...)
		}
	}
	for _, b := range r.Boots {
		if !r.Short || b != qemu.UEFI || len(r.Boots) == 1 {
			jobs = append(jobs, job{string(b), b, walk})
		}
	}
	if r.lab == nil {
		return jobs
	}
	for _, b := range firmwares {
		jobs = append(jobs, r.breakages(b)...)
	}
	return jobs
}

// stories are the tales under a firmware.
func (r *runner) stories(b qemu.Boot) (jobs []job) {
	for _, t := range tales() {
		if r.Short && !t.Short {
			continue
		}
		if t.Machine != machineRelease {
			jobs = append(jobs, job{r.under(t.Machine, b), b, t.tell(r.lab)})
			continue
		}
		// The last firmware is the one that says most about boot loaders.
		if last := r.Boots[len(r.Boots)-1]; r.lab.other != nil && (r.Every || b == r.Boots[0]) {
			if !r.Every {
				b = last
			}
			jobs = append(jobs, job{r.under(t.Machine, b), b, t.tell(r.lab)})
		}
	}
	return jobs
}

// breakages are the faults under a firmware, and the flipped byte.
func (r *runner) breakages(b qemu.Boot) (jobs []job) {
	for _, f := range faults() {
		if r.Short && !f.Short || b != r.Boots[0] && f.firmware(b) != b {
			continue
		}
		jobs = append(jobs, job{r.under(machineFault(f), b), f.firmware(b), f.run(r.lab)})
	}
	return append(jobs, job{r.under(machineDamaged, b), b, damage})
}

// under is the name of a machine whose firmware is not the usual one of its kind.
func (r *runner) under(machine string, b qemu.Boot) string {
	if !r.Every || b == r.Boots[0] {
		return machine
	}
	return machine + "@" + string(b)
}

// wanted are the jobs that were asked for.
func (r *runner) wanted() []job {
	if len(r.Machines) == 0 {
		return r.machines()
	}
	return slices.DeleteFunc(r.machines(), func(j job) bool {
		kind, _, _ := strings.Cut(j.name, "@")
		return !slices.Contains(r.Machines, kind)
	})
}

// run makes the static checks, then runs the machines, Jobs at a time; see places.
func (r *runner) run(ctx context.Context) *Report {
	report := &Report{
		Format: Format, Disk: filepath.Base(r.Options.Disk), QEMU: r.host.Version.String(),
		Accelerator: r.accel.Name, KVM: "works", Boots: []Boot{}, Date: time.Now().UTC().Format(time.DateOnly),
	}
	report.Image = r.image
	if r.verdict.Reason != "" {
		report.KVM = r.verdict.Reason
	}
	jobs := r.wanted()
	r.observer().Begin(r.plan(jobs))
	report.Checks = r.examine(ctx)
	sessions := make([]*session, len(jobs))
	var wg sync.WaitGroup
	for i, j := range jobs {
		r.places.take()
		wg.Go(func() {
			sessions[i] = r.kept.session(j, r)
			if sessions[i] == nil {
				r.observer().Started(j.name)
				sessions[i] = j.run(ctx, r)
				r.kept.keep(sessions[i])
			}
			r.observer().Ended(j.name)
			r.places.leave()
		})
	}
	wg.Wait()
	for _, s := range slices.Concat(r.nodes.sessions(), sessions) {
		report.Boots = append(report.Boots, s.boots...)
		report.Checks = append(report.Checks, s.inOrder()...)
		report.Version = firstNonEmpty(report.Version, s.version)
	}
	if err := errors.Join(r.disk.Close(), r.lab.remove()); err != nil {
		r.Log.Warn("cleaning up", "err", err)
	}
	report.settle()
	return report
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// run does the job, and does it again on a new machine when something failed on
// one whose kernel crashed in emulation: that says nothing about the disk. Each
// crash is told, and the console log with it is kept beside the last one.
func (j job) run(ctx context.Context, r *runner) *session {
	for crashes := 0; ; crashes++ {
		s := newSession(r, j.name, j.boot, crashes)
		j.do(ctx, s)
		if err := s.close(); err != nil {
			s.record("end", "the virtual machine ended cleanly", 0, "", err)
		}
		line, crashed := s.crash()
		if !crashed || !s.failed() || crashes == qemu.CrashRetries || ctx.Err() != nil {
			return s
		}
		log := r.logPath(s.name)
		kept := fmt.Sprintf("%s.crash%d", log, crashes+1)
		r.observer().Note(s.name, "the emulated kernel crashed: the machine begins again")
		r.say(fmt.Sprintf("%s: the emulated kernel crashed (%s); the machine begins again; its console: %s", machineTitle(s.name), line, kept))
		if err := os.Rename(log, kept); err != nil {
			s.record("log", "the console log of the crash was kept", 0, "", err)
			return s
		}
	}
}

// examine looks at the disk without booting it.
func (r *runner) examine(ctx context.Context) []Result {
	var out []Result
	for _, c := range imageChecks() {
		begin := time.Now()
		message, err := c.Run(ctx, r.disk)
		res := Result{Machine: machineImage, Name: c.Name, Title: c.Title, Status: Pass, Message: message}
		if err != nil {
			res.Status, res.Message = Fail, err.Error()
		}
		res.Seconds = seconds(time.Since(begin))
		r.progress(res)
		out = append(out, res)
	}
	return out
}

// walk boots a machine, or goes on from a node that booted, and goes through the
// list; with a reboot in between when a row wants one. Under the first firmware a
// long life follows.
func walk(ctx context.Context, s *session) {
	checks := checksFor(s.boot)
	if !s.enter("ready", "says that it is ready", func() error { return s.walkFrom(ctx) }) {
		s.skipAll(checks, "the node did not come up")
		return
	}
	again := false
	for _, c := range checks {
		again = again || c.Second != nil
		if c.First != nil {
			s.check(ctx, c, c.First, c.Second == nil)
		}
	}
	if again && !s.walkAgain(ctx, checks) {
		return
	}
	if s.shared() {
		s.live(ctx)
	}
}

// walkAgain reboots the machine for the second half of the list.
func (s *session) walkAgain(ctx context.Context, checks []Check) bool {
	if !s.enter("reboot", "comes up again after a reboot", func() error { return s.reboot(ctx) }) {
		s.skipSecond(checks)
		return false
	}
	for _, c := range checks {
		if c.Second != nil {
			s.check(ctx, c, c.Second, true)
		}
	}
	return true
}

// shared tells whether machines with stories have the same firmware: then they all
// begin with one node, see readyNodes.
func (s *session) shared() bool {
	return s.r.lab != nil && (s.r.Every || s.boot == s.r.Boots[0])
}

// walkFrom is a node that is ready.
func (s *session) walkFrom(ctx context.Context) error {
	if s.shared() {
		return s.fork(ctx)
	}
	return s.start(ctx)
}

// enter makes a step that everything after it depends on.
func (s *session) enter(name, title string, step func() error) bool {
	begin := time.Now()
	err := step()
	message := ""
	if err == nil && len(s.boots) > 0 {
		message = fmt.Sprintf("%.1f s from the start of the kernel", s.boots[len(s.boots)-1].ReadySeconds)
	}
	s.record(name, title, time.Since(begin), message, err)
	s.r.progress(*s.results[name])
	return err == nil
}

func (s *session) skipAll(checks []Check, why string) {
	for _, c := range checks {
		s.skip(c.Name, c.Title, why)
	}
}

// skipSecond notes rows whose second half could not be made: half a check proves
// nothing.
func (s *session) skipSecond(checks []Check) {
	for _, c := range checks {
		if c.Second == nil {
			continue
		}
		if res := s.results[c.Name]; res != nil && res.Status == Pass {
			res.Status, res.Message = Skip, "the node did not come up again"
		}
		s.skip(c.Name, c.Title, "the node did not come up again")
	}
}

func (r *runner) logName(machine string) string {
	if machine == machineImage {
		return ""
	}
	return filepath.Join(LogsName, machine+".log")
}

func (r *runner) logPath(machine string) string { return filepath.Join(r.Dir, r.logName(machine)) }

// progress says how a check went, as it goes.
func (r *runner) progress(res Result) {
	r.observer().Checked(res)
	line := fmt.Sprintf("%s: %s: %s", machineTitle(res.Machine), res.Title, res.Status)
	if why, _, _ := strings.Cut(res.Message, "\n"); res.Status == Fail {
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
