// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

func newRunStage(p *program) *cobra.Command {
	var o stageOptions
	cmd := &cobra.Command{
		Use:   "run-stage NAME",
		Short: "Run the steps that the config has for a stage",
		Example: `  kairos-agent run-stage boot --analyze      # the order of its steps
  kairos-agent run-stage boot --dry-run      # what would change
  sudo kairos-agent run-stage network`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return commandline.Usagef(cmd, "which stage? They are %s", strings.Join(config.BootStages(), ", "))
			}
			return commandline.Args(cobra.ExactArgs(1))(cmd, args)
		},
		ValidArgsFunction: cobra.FixedCompletions(config.BootStages(), cobra.ShellCompDirectiveNoFileComp),
		RunE:              func(cmd *cobra.Command, args []string) error { return p.runStage(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "change nothing and run no command; print what would change")
	cmd.Flags().BoolVar(&o.analyze, "analyze", false, "print the order of the steps and which would be skipped")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON, as documented in framework/machine/stages")
	return cmd
}

type stageOptions struct{ dryRun, analyze, asJSON bool }

// stageResult is what `run-stage --json` prints: one JSON object.
type stageResult struct {
	Plan    []stages.Preview     `json:"plan,omitempty"` // with --analyze
	Stages  []stages.StageReport `json:"stages"`
	Changes []change             `json:"changes,omitempty"` // with --dry-run
}

func (p *program) runStage(ctx context.Context, name string, o stageOptions) error {
	p.node.Log = slog.New(slog.DiscardHandler) // the result says the same
	result := stageResult{Stages: []stages.StageReport{}}
	var err error
	if o.analyze {
		result.Plan, err = p.node.AnalyzeStage(name)
	} else {
		if o.dryRun {
			p.node.Root.Dry = new(tree.DryRun)
		}
		result.Stages, err = p.node.RunStage(ctx, name)
		result.Changes = changesOf(p.node.Root.Dry)
	}
	if err != nil && len(result.Stages) == 0 {
		return err
	}
	if err := p.printStages(name, result, o.asJSON); err != nil {
		return err
	}
	if err == nil && !stages.AllOK(result.Stages) {
		return commandline.ErrQuiet
	}
	return err
}

func (p *program) printStages(name string, r stageResult, asJSON bool) error {
	if asJSON {
		return p.printJSON(r)
	}
	if len(r.Stages)+len(r.Plan) == 0 {
		fmt.Fprintf(p.stdout, "stage %s: the config has no steps for it\n", name)
	}
	for _, s := range r.Plan {
		fmt.Fprintln(p.stdout, s)
	}
	for _, s := range r.Stages {
		writeStage(p.stdout, s)
	}
	for _, c := range r.Changes {
		fmt.Fprint(p.stdout, c)
	}
	return nil
}

// change is what a stage would do to a file.
type change struct {
	Path    string `json:"path"`
	Removed bool   `json:"removed,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Diff    string `json:"diff,omitempty"` // unified; empty unless everybody may read the file
}

// String returns the change with its diff, in the format of patch(1).
func (c change) String() string {
	switch {
	case c.Removed:
		return "remove " + c.Path + "\n"
	case c.Diff == "":
		return fmt.Sprintf("change %s, mode %s\n", c.Path, c.Mode)
	}
	return fmt.Sprintf("change %s, mode %s\n%s", c.Path, c.Mode, c.Diff)
}

func changesOf(dry *tree.DryRun) []change {
	if dry == nil {
		return nil
	}
	var out []change
	for _, c := range dry.Changes() {
		one := change{Path: c.Path, Removed: c.Removed, Mode: c.Mode.String()}
		if c.Mode.IsRegular() && c.Mode&0o004 != 0 && !c.Removed && !secretFiles[c.Path] {
			one.Diff = string(diff.Diff(c.Path, c.Old, c.Path, c.New))
		}
		out = append(out, one)
	}
	return out
}

// secretFiles lists files that are never shown, whatever their mode.
var secretFiles = map[string]bool{"/etc/shadow": true, "/etc/gshadow": true}
