// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
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
	Plan    []planned            `json:"plan,omitempty"` // with --analyze
	Stages  []stages.StageReport `json:"stages"`
	Changes []change             `json:"changes,omitempty"` // with --dry-run
}

func (p *program) runStage(ctx context.Context, name string, o stageOptions) error {
	p.log = slog.New(slog.DiscardHandler) // what it would say is the result
	c := p.loadConfig()
	all := plans(c, name)
	if len(all) == 0 && !config.IsStage(name) {
		return unknownStage(name, c)
	}
	result := stageResult{Stages: []stages.StageReport{}}
	var err error
	switch {
	case o.analyze:
		result.Plan = p.analyze(all)
	default:
		if o.dryRun {
			p.root.Dry = new(tree.DryRun)
		}
		result.Stages, err = p.runNamed(ctx, name, c, all)
		result.Changes = changesOf(p.root.Dry)
	}
	if err := p.printStages(name, result, o.asJSON); err != nil {
		return err
	}
	if err == nil && !stagesOK(result.Stages) {
		return commandline.ErrQuiet
	}
	return err
}

// runNamed carries out the plans of a stage, and what comes with it.
func (p *program) runNamed(ctx context.Context, name string, c *config.Config, all []stages.Plan) (out []stages.StageReport, err error) {
	e := p.engine(!slices.Contains(keyStages, name))
	if needsKeys(name, c) {
		if r := p.fetchKeys(ctx, c, e); r != nil {
			out, err = append(out, *r), p.record(e, *r)
		}
	}
	rest, runErr := p.runPlans(ctx, e, all)
	if len(out) > 0 && len(rest) == 0 {
		runErr = errors.Join(runErr, p.writeStageIssue())
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

func (p *program) printStages(name string, r stageResult, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(r)
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

// planned is a step as --analyze shows it.
type planned struct {
	Stage  string   `json:"stage"`
	Name   string   `json:"name"`
	Origin string   `json:"origin"`
	After  []string `json:"after"`          // the steps that it waits for
	Skip   string   `json:"skip,omitempty"` // why it would be skipped now
	If     string   `json:"if,omitempty"`   // a command that decides when it runs
	Error  string   `json:"error,omitempty"`
	Later  []string `json:"notImplemented,omitempty"`
}

// String is the step on one line.
func (s planned) String() string {
	words := []string{fmt.Sprintf("%s %s (%s)", s.Stage, s.Name, s.Origin)}
	if len(s.After) > 0 {
		words[0] += " after " + strings.Join(s.After, ", ")
	}
	for _, more := range []struct{ what, text string }{
		{"skipped", s.Skip}, {"if", s.If}, {"error", s.Error}, {"not done here", strings.Join(s.Later, ", ")},
	} {
		if more.text != "" {
			words = append(words, more.what+": "+more.text)
		}
	}
	return strings.Join(words, "; ")
}

func (p *program) analyze(all []stages.Plan) []planned {
	out := []planned{}
	facts := p.facts()
	for _, plan := range all {
		for _, s := range plan.Steps {
			one := planned{Stage: plan.Stage, Name: s.Title(), Origin: s.Step.Origin.String(), After: []string{}, If: s.Step.If.Text, Later: s.Step.Later}
			for _, n := range s.Waits {
				one.After = append(one.After, plan.Steps[n].Title())
			}
			rendered, lost := stages.Render(s.Step, facts)
			one.Skip = stages.Unmet(p.root, facts, rendered)
			switch {
			case s.Err != nil:
				one.Error = s.Err.Error()
			case len(lost) > 0 && one.Skip == "":
				one.Error = lost[0].Error()
			}
			out = append(out, one)
		}
	}
	return out
}

// change is what a dry run would do to a file.
type change struct {
	Path    string `json:"path"`
	Removed bool   `json:"removed,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Diff    string `json:"diff,omitempty"` // unified; empty when not everybody may read the file
}

// String has the diff, as patch(1) reads it.
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

// secretFiles are never shown, whatever their mode.
var secretFiles = map[string]bool{"/etc/shadow": true, "/etc/gshadow": true}
