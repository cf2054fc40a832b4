// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/partitions"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// Where a stage runs. Those of a boot's beginning run in kairos-boot.service,
// but for those that /init ran before systemd was there: rootfs and initramfs.
var (
	earlyStages = []string{"rootfs", "initramfs", "fs"}
	lateStages  = []string{"boot", "network", "reconcile"} // in units of their own
)

// earlyTime is what the early stages have together. It ends before systemd's
// patience with kairos-boot.service does, so that there is a report.
const earlyTime = 90 * time.Second

// stageDir has a file for each late stage that has steps: the condition of its
// unit. Without steps, no process is started.
const stageDir = "/run/kairos/stages"

// stageIssue stands above the login prompt, below issueFile.
const stageIssue = "/etc/issue.d/51-kairos-stages.issue"

// plans are those of the stages that have steps.
func plans(c *config.Config, names ...string) []stages.Plan { return stages.Plans(c, names...) }

// engine runs stages below the root of p.
func (p *program) engine(early bool) *stages.Engine {
	e := &stages.Engine{Root: p.root, Log: p.log, Facts: p.facts, Machine: p.machine, System: p.system, Fetcher: p.fetcher, Early: early, Offline: p.offline(), Datasource: p.stepDatasource}
	if e.Fetcher == nil {
		e.Fetcher = stages.Web{}
	}
	if e.System == nil {
		e.System = stages.Node{Env: p.env}
	}
	if p.onNode() {
		e.Disks = p.disks()
	}
	return e
}

// disks are those of the node, but not the one that was booted.
func (p *program) disks() partitions.Machine {
	state, err := status.BootState(p.root)
	if err != nil {
		return partitions.Machine{} // it runs from no disk of ours
	}
	return partitions.Machine{Boot: state.Disk.Device}
}

// facts are what templates know.
func (p *program) facts() template.Facts {
	f := stages.ReadFacts(p.root)
	if state, err := status.BootState(p.root); err == nil {
		f.Slot, f.Mode = string(state.Slot), string(state.Mode)
	}
	return f
}

// runPlans carries plans out in order and records each. The reports are whole
// whatever the error, which is about the recording.
func (p *program) runPlans(ctx context.Context, e *stages.Engine, all []stages.Plan) ([]stages.StageReport, error) {
	var out []stages.StageReport
	var errs []error
	for _, plan := range all {
		r := e.Run(ctx, plan)
		out = append(out, r)
		errs = append(errs, p.record(e, r))
	}
	if len(out) > 0 && !e.Dry() {
		errs = append(errs, p.writeStageIssue())
	}
	return out, errors.Join(errs...)
}

// record says what failed, and keeps the report.
func (p *program) record(e *stages.Engine, r stages.StageReport) error {
	for _, line := range r.Lines() {
		fmt.Fprintln(p.stderr, "kairos: "+line)
	}
	if e.Dry() {
		return nil
	}
	return stages.Record(p.root, p.bootID(), r)
}

func stagesOK(reports []stages.StageReport) bool {
	return !slices.ContainsFunc(reports, func(r stages.StageReport) bool { return !r.OK() })
}

// bootStages runs the early stages and leaves the marks of the late ones.
func (p *program) bootStages(ctx context.Context, c *config.Config) (ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, earlyTime, fmt.Errorf("the stages before systemd's basic.target have %v", earlyTime))
	defer cancel()
	reports, err := p.runPlans(ctx, p.engine(true), p.notYetRun(plans(c, earlyStages...)))
	return stagesOK(reports), errors.Join(err, p.markStages(c))
}

// notYetRun leaves out the plans that have a report of this boot.
func (p *program) notYetRun(all []stages.Plan) []stages.Plan {
	r, err := stages.ReadReport(p.root)
	if id := p.bootID(); err != nil || id == "" || r.BootID != id {
		return all
	}
	return slices.DeleteFunc(all, func(plan stages.Plan) bool {
		return slices.ContainsFunc(r.Stages, func(s stages.StageReport) bool { return s.Stage == plan.Stage })
	})
}

// offline tells whether systemd does not run yet: /init calls us before it.
func (p *program) offline() bool { return p.onNode() && !p.root.Exists("/run/systemd/system") }

func (p *program) markStages(c *config.Config) error {
	var errs []error
	for _, name := range lateStages {
		mark := stageDir + "/" + name
		var err error
		if len(plans(c, name)) > 0 || needsKeys(name, c) {
			_, err = p.root.Replace(mark, tree.File{Mode: 0o644})
		} else {
			_, err = p.root.Remove(mark)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeStageIssue puts the failures of this boot above the login prompt.
func (p *program) writeStageIssue() error {
	r, err := stages.ReadReport(p.root)
	if err != nil {
		return err
	}
	lines := r.Lines()
	if len(lines) == 0 {
		_, err := p.root.Remove(stageIssue)
		return err
	}
	if more := len(lines) - maxIssueLines; more > 0 {
		lines = append(lines[:maxIssueLines:maxIssueLines], fmt.Sprintf("and %d more", more))
	}
	text := "Stages of this boot failed (see kairos-agent report):\n  " + strings.Join(lines, "\n  ") + "\n\n"
	_, err = p.root.Replace(stageIssue, tree.File{Data: []byte(strings.ReplaceAll(text, `\`, `\\`)), Mode: 0o644})
	return err
}

// maxIssueLines keeps the login prompt on the screen.
const maxIssueLines = 8

// fillHostname fills in the template of the host name at the top of a config.
// With one that fails the node keeps its default name.
func (p *program) fillHostname(c *config.Config) *report.Item {
	return stages.FillHostname(c, p.facts())
}

// notUsed says what is not used of a file, and what to type; nothing, when all of
// it is.
func notUsed(f config.File) string {
	if f.Whole() {
		return ""
	}
	command := "kairos-agent validate"
	if f.OnDisk() {
		command += " " + f.Name
	}
	return fmt.Sprintf("%s: %s, because of its errors; type: %s", f.Name, report.Use(f.Problems), command)
}

// loadConfig is the merged config of the node. What keeps a file from being
// used is said; the users and keys of its last correct version count.
func (p *program) loadConfig() *config.Config {
	merged, loaded := p.configNow()
	for _, f := range loaded.Files {
		if text := notUsed(f); text != "" {
			fmt.Fprintln(p.stderr, "kairos: "+text)
		}
	}
	return merged
}
