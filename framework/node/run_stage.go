// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

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
