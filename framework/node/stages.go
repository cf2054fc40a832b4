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

// Where a stage runs. kairos-boot.service runs the early stages, except those that
// /init has run before systemd started: rootfs and initramfs.
var (
	earlyStages = []string{"rootfs", "initramfs", "fs"}
	lateStages  = []string{"boot", "network", "reconcile"} // each in its own unit
)

// earlyTime is the time limit of all early stages together. It is shorter than
// TimeoutStartSec= of kairos-boot.service, so that there is always a report.
const earlyTime = 90 * time.Second

// stageDir holds a file for each late stage that has something to do. The file is the
// start condition of the stage's unit: without it, no process starts.
const stageDir = "/run/kairos/stages"

// engine runs stages below the root of n.
func (n *Node) engine(early bool) *stages.Engine {
	e := &stages.Engine{Root: n.Root, Log: n.Log, Facts: n.facts, Machine: n.machine, System: n.System, Fetcher: n.Fetcher, Early: early, Offline: n.offline(), Datasource: n.stepDatasource, Image: n.configImage}
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

// disks returns the disks of the node without the disk that was booted.
func (n *Node) disks() partitions.KernelDisks {
	state, err := status.ThisBoot(n.Root)
	if err != nil {
		return partitions.KernelDisks{} // the system was not booted from a kairos disk
	}
	return partitions.KernelDisks{Boot: state.Disk.Device}
}

// facts returns the facts that templates can use.
func (n *Node) facts() template.Facts {
	f := stages.ReadFacts(n.Root)
	if state, err := status.ThisBoot(n.Root); err == nil {
		f.Slot, f.Mode = string(state.Slot), string(state.Mode)
	}
	return f
}

// runPlans carries out plans in order and records each. The error concerns only the
// recording; the reports are complete in any case.
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

// record prints what failed and keeps the report.
func (n *Node) record(e *stages.Engine, r stages.StageReport) error {
	for _, line := range r.Lines() {
		fmt.Fprintln(n.Stderr, "kairos: "+line)
	}
	if e.Dry() {
		return nil
	}
	return stages.Record(n.Root, n.bootID(), r)
}

// bootStages runs the early stages and writes the marks of the late ones.
func (n *Node) bootStages(ctx context.Context, c *config.Config) (ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, earlyTime, fmt.Errorf("the stages before systemd's basic.target have %v", earlyTime))
	defer cancel()
	reports, err := n.runPlans(ctx, n.engine(true), n.notYetRun(stages.Plans(c, earlyStages...)))
	return stages.AllOK(reports), errors.Join(err, n.markStages(c))
}

// notYetRun leaves out the plans whose stage has already run in this boot.
func (n *Node) notYetRun(all []stages.Plan) []stages.Plan {
	r, err := stages.ReadReport(n.Root)
	if id := n.bootID(); err != nil || id == "" || r.BootID != id {
		return all
	}
	return slices.DeleteFunc(all, func(plan stages.Plan) bool {
		return slices.ContainsFunc(r.Stages, func(s stages.StageReport) bool { return s.Stage == plan.Stage })
	})
}

// offline tells whether systemd does not run yet: /init calls the agent before it.
func (n *Node) offline() bool { return n.Running() && !n.Root.Exists("/run/systemd/system") }

func (n *Node) markStages(c *config.Config) error {
	var errs []error
	for _, name := range append(slices.Clone(lateStages), kubernetesStage) {
		mark := stageDir + "/" + name
		var err error
		if len(stages.Plans(c, name)) > 0 || needsKeys(name, c) || n.needsKubernetes(name, c) {
			_, err = n.Root.Replace(mark, tree.File{Mode: 0o644})
		} else {
			_, err = n.Root.Remove(mark)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fillHostname expands the template in the top-level host name of a config. If that
// fails, the node keeps its default name.
func (n *Node) fillHostname(c *config.Config) *report.Item {
	return stages.FillHostname(c, n.facts())
}

// RunStage carries out the steps of a stage, after fetching SSH keys if the stage begins
// with that. Below a Dry root it notes what would change. If it returns no reports, it
// did nothing.
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

// AnalyzeStage returns the steps of a stage in order, and which would be skipped.
func (n *Node) AnalyzeStage(name string) ([]stages.Preview, error) {
	_, all, err := n.stage(name)
	if err != nil {
		return nil, err
	}
	return stages.Previews(n.Root, n.facts(), all), nil
}

// stage returns the config and its plans for a stage.
func (n *Node) stage(name string) (*config.Config, []stages.Plan, error) {
	c := n.loadConfig()
	all := stages.Plans(c, name)
	if len(all) == 0 && !config.IsStage(name) {
		return nil, nil, unknownStage(name, c)
	}
	return c, all, nil
}
