// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/agent/report"
	"github.com/kairos-build/kairos-build/framework/agent/status"
	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/stages"
	"github.com/kairos-build/kairos-build/framework/template"
)

// Where a stage runs. Those of a boot's beginning run in kairos-boot.service,
// also the two that Kairos runs in its initramfs: our /init changes no file.
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
	e := &stages.Engine{Root: p.root, Log: p.log, Facts: p.facts, Machine: p.machine, System: p.system, Fetcher: stages.Web{}, Early: early}
	if e.System == nil {
		e.System = stages.Node{}
	}
	return e
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
		for _, line := range r.Lines() {
			fmt.Fprintln(p.stderr, "kairos: "+line)
		}
		if !e.Dry() {
			errs = append(errs, stages.Record(p.root, p.bootID(), r))
		}
	}
	if len(out) > 0 && !e.Dry() {
		errs = append(errs, p.writeStageIssue())
	}
	return out, errors.Join(errs...)
}

func stagesOK(reports []stages.StageReport) bool {
	return !slices.ContainsFunc(reports, func(r stages.StageReport) bool { return !r.OK() })
}

// bootStages runs the early stages and leaves the marks of the late ones.
func (p *program) bootStages(ctx context.Context, c *config.Config) (ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, earlyTime, fmt.Errorf("the stages before systemd's basic.target have %v", earlyTime))
	defer cancel()
	reports, err := p.runPlans(ctx, p.engine(true), plans(c, earlyStages...))
	return stagesOK(reports), errors.Join(err, p.markStages(c))
}

func (p *program) markStages(c *config.Config) error {
	var errs []error
	for _, name := range lateStages {
		mark := stageDir + "/" + name
		var err error
		if len(plans(c, name)) > 0 {
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

// loadConfig is the merged config of the node. What keeps a file from being
// used is said.
func (p *program) loadConfig() *config.Config {
	loaded := config.Load(os.DirFS(p.root.Dir), layout.ConfigDirs())
	for _, f := range loaded.Files {
		if !f.Used() {
			fmt.Fprintf(p.stderr, "kairos: %s: not used, because of its errors; type: kairos-agent validate %s\n", f.Name, f.Name)
		}
	}
	return loaded.Config
}
