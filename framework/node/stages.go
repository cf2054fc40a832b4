// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
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

// engine runs stages below the root of n.
func (n *Node) engine(early bool) *stages.Engine {
	e := &stages.Engine{Root: n.Root, Log: n.Log, Facts: n.facts, Machine: n.machine, System: n.System, Fetcher: n.Fetcher, Early: early, Offline: n.offline(), Datasource: n.stepDatasource}
	if e.Fetcher == nil {
		e.Fetcher = stages.Web{}
	}
	if e.System == nil {
		e.System = stages.Programs{Env: n.env}
	}
	if n.Running() {
		e.Disks = n.disks()
	}
	return e
}

// disks are those of the node, but not the one that was booted.
func (n *Node) disks() partitions.KernelDisks {
	state, err := status.ThisBoot(n.Root)
	if err != nil {
		return partitions.KernelDisks{} // it runs from no disk of ours
	}
	return partitions.KernelDisks{Boot: state.Disk.Device}
}

// facts are what templates know.
func (n *Node) facts() template.Facts {
	f := stages.ReadFacts(n.Root)
	if state, err := status.ThisBoot(n.Root); err == nil {
		f.Slot, f.Mode = string(state.Slot), string(state.Mode)
	}
	return f
}

// runPlans carries plans out in order and records each. The reports are whole
// whatever the error, which is about the recording.
func (n *Node) runPlans(ctx context.Context, e *stages.Engine, all []stages.Plan) ([]stages.StageReport, error) {
	var out []stages.StageReport
	var errs []error
	for _, plan := range all {
		r := e.Run(ctx, plan)
		out = append(out, r)
		errs = append(errs, n.record(e, r))
	}
	if len(out) > 0 && !e.Dry() {
		errs = append(errs, n.writeStageIssue())
	}
	return out, errors.Join(errs...)
}

// record says what failed, and keeps the report.
func (n *Node) record(e *stages.Engine, r stages.StageReport) error {
	for _, line := range r.Lines() {
		fmt.Fprintln(n.Stderr, "kairos: "+line)
	}
	if e.Dry() {
		return nil
	}
	return stages.Record(n.Root, n.bootID(), r)
}

// bootStages runs the early stages and leaves the marks of the late ones.
func (n *Node) bootStages(ctx context.Context, c *config.Config) (ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, earlyTime, fmt.Errorf("the stages before systemd's basic.target have %v", earlyTime))
	defer cancel()
	reports, err := n.runPlans(ctx, n.engine(true), n.notYetRun(stages.Plans(c, earlyStages...)))
	return stages.AllOK(reports), errors.Join(err, n.markStages(c))
}

// notYetRun leaves out the plans that have a report of this boot.
func (n *Node) notYetRun(all []stages.Plan) []stages.Plan {
	r, err := stages.ReadReport(n.Root)
	if id := n.bootID(); err != nil || id == "" || r.BootID != id {
		return all
	}
	return slices.DeleteFunc(all, func(plan stages.Plan) bool {
		return slices.ContainsFunc(r.Stages, func(s stages.StageReport) bool { return s.Stage == plan.Stage })
	})
}

// offline tells whether systemd does not run yet: /init calls us before it.
func (n *Node) offline() bool { return n.Running() && !n.Root.Exists("/run/systemd/system") }

func (n *Node) markStages(c *config.Config) error {
	var errs []error
	for _, name := range lateStages {
		mark := stageDir + "/" + name
		var err error
		if len(stages.Plans(c, name)) > 0 || needsKeys(name, c) {
			_, err = n.Root.Replace(mark, tree.File{Mode: 0o644})
		} else {
			_, err = n.Root.Remove(mark)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fillHostname fills in the template of the host name at the top of a config.
// With one that fails the node keeps its default name.
func (n *Node) fillHostname(c *config.Config) *report.Item {
	return stages.FillHostname(c, n.facts())
}

// RunStage carries out the steps of a stage, and what comes with it. Below a Root that
// is Dry, it notes what would change. Without a report, it did nothing.
func (n *Node) RunStage(ctx context.Context, name string) (out []stages.StageReport, err error) {
	c, all, err := n.stage(name)
	if err != nil {
		return nil, err
	}
	e := n.engine(!slices.Contains(keyStages, name))
	if needsKeys(name, c) {
		if r := n.fetchKeys(ctx, c, e); r != nil {
			out, err = append(out, *r), n.record(e, *r)
		}
	}
	rest, runErr := n.runPlans(ctx, e, all)
	if len(out) > 0 && len(rest) == 0 {
		runErr = errors.Join(runErr, n.writeStageIssue())
	}
	return append(out, rest...), errors.Join(err, runErr)
}

func unknownStage(name string, c *config.Config) error {
	names := slices.Concat(config.Stages(), slices.Collect(maps.Keys(c.Stages)))
	if near := nearest.Word(name, names); near != "" {
		return fmt.Errorf("no config has a stage %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("no config has a stage %q; those of a boot are %s", name, strings.Join(config.BootStages(), ", "))
}

// AnalyzeStage is the order of the steps of a stage, and which would be skipped.
func (n *Node) AnalyzeStage(name string) ([]stages.Preview, error) {
	_, all, err := n.stage(name)
	if err != nil {
		return nil, err
	}
	return stages.Previews(n.Root, n.facts(), all), nil
}

// stage is the config, and the plans that it has for a stage.
func (n *Node) stage(name string) (*config.Config, []stages.Plan, error) {
	c := n.loadConfig()
	all := stages.Plans(c, name)
	if len(all) == 0 && !config.IsStage(name) {
		return nil, nil, unknownStage(name, c)
	}
	return c, all, nil
}
