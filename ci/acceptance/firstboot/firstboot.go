// SPDX-License-Identifier: Apache-2.0

// Package firstboot boots a disk once and fetches the node's reports of that boot.
package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// A Report holds a node's reports of its first boot.
type Report struct {
	// OK is false if a part of the config failed.
	OK     bool            `json:"ok"`
	Ready  string          `json:"ready"`  // the ready line on the console
	Config *report.Report  `json:"config"` // of the keys outside of stages
	Boots  []stages.Report `json:"boots"`  // of the stages; one boot

	text string // output of kairos-agent report
}

// Write writes the report for the user, in the words of the node.
func (n *Report) Write(w io.Writer) error {
	lines := []string{n.Ready}
	for _, i := range n.Config.Items {
		if i.Outcome != report.Unchanged {
			lines = append(lines, i.String())
		}
	}
	lines = append(lines, n.Config.Lines()...)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"+n.text)
	return err
}

// Boot boots o.Disk under o.Boots[0], without writing to it, and waits until the node is
// ready and the stages of the boot are over. It does not wait for the stage reconcile,
// which comes five minutes later.
func Boot(ctx context.Context, o lab.Options) (_ *Report, err error) {
	config, limit, err := lab.ForPerson(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the boot did not end within %v; --timeout gives it longer", limit))
	defer cancel()
	key, err := qemu.NewKey()
	if err != nil {
		return nil, err
	}
	patch, err := lab.RootAccess(o.Disk, key)
	if err != nil {
		return nil, err
	}
	config.Patches = append(config.Patches, patch)
	for try := 1; ; try++ {
		node, err := bootOnce(ctx, config, key)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case !config.Accel.Crashed(err) || try > qemu.CrashRetries:
			return node, err
		}
		config.Log.Warn("the emulated kernel crashed; booting again", "try", try)
	}
}

// bootOnce boots a machine once and fetches its reports.
func bootOnce(ctx context.Context, config qemu.Config, key qemu.Key) (_ *Report, err error) {
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	m, err := vm.WaitLine(ctx, lab.ReadyLine)
	if err != nil {
		return nil, err
	}
	client, err := vm.SSH(ctx, qemu.Login{User: "root", Signer: key.Signer()})
	if err != nil {
		return nil, err
	}
	if err := stagesOver(ctx, client); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	node, err := ask(ctx, client)
	if err := errors.Join(err, client.Close()); err != nil {
		return nil, err
	}
	node.Ready = strings.TrimSpace(m.Groups[0])
	return node, nil
}

// lateStages are the stages that run in their own units. The mark of a stage exists if
// the stage has steps.
var lateStages = []struct{ mark, unit string }{
	{"/run/kairos/stages/boot", "kairos-stage-boot.service"},
	{"/run/kairos/stages/network", "kairos-stage-network.service"},
}

// stagesOver waits until each late stage that has steps has run.
func stagesOver(ctx context.Context, r lab.Runner) error {
	for _, late := range lateStages {
		for {
			over, err := stageOver(ctx, r, late.mark, late.unit)
			if over || err != nil {
				if err != nil {
					return fmt.Errorf("waiting for %s: %w", late.unit, err)
				}
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", late.unit, context.Cause(ctx))
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// stageOver tells whether a stage is over: it has no mark, or the end time of the unit's
// process is not 0.
func stageOver(ctx context.Context, r lab.Runner, mark, unit string) (bool, error) {
	out, err := r.RunInput(ctx, "", "test", "-e", mark)
	if err != nil || out.Exit != 0 {
		return err == nil, err
	}
	ended, err := lab.Output(ctx, r, "", "systemctl", "show", "--property=ExecMainExitTimestampMonotonic", "--value", unit)
	return err == nil && strings.TrimSpace(ended) != "0", err
}

func stageReports(ctx context.Context, r lab.Runner) ([]stages.Report, error) {
	text, err := lab.Output(ctx, r, "", "kairos-agent", "report", "--json")
	if err != nil {
		return nil, err
	}
	var boots []stages.Report
	if err := json.Unmarshal([]byte(text), &boots); err != nil {
		return nil, fmt.Errorf("reading the report of the node: %w", err)
	}
	return boots, nil
}

// ask fetches the node's reports.
func ask(ctx context.Context, r lab.Runner) (*Report, error) {
	n := &Report{Config: new(report.Report)}
	text, err := lab.Output(ctx, r, "", "cat", report.Path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), n.Config); err != nil {
		return nil, fmt.Errorf("reading %s of the node: %w", report.Path, err)
	}
	if n.Boots, err = stageReports(ctx, r); err != nil {
		return nil, err
	}
	n.text, err = lab.Output(ctx, r, "", "kairos-agent", "report")
	n.OK = n.Config.OK && !slices.ContainsFunc(n.Boots, func(b stages.Report) bool {
		return slices.ContainsFunc(b.Stages, func(s stages.StageReport) bool { return !s.OK() })
	})
	return n, err
}
