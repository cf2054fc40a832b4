// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

func newReport(p *program) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Show what the stages of this boot did",
		Example: `  kairos-agent report
  kairos-agent report --all          # of the last ten boots
  kairos-agent report --json`,
		Args: commandline.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.report(all, asJSON) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "the last ten boots, oldest first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented in framework/machine/stages")
	return cmd
}

// report prints a list of boots. Without --all it is one boot.
func (p *program) report(all, asJSON bool) error {
	boots, err := p.reports(all)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(boots)
	}
	for _, b := range boots {
		if all {
			fmt.Fprintf(p.stdout, "boot %s\n", b.BootID)
		}
		for _, s := range b.Stages {
			writeStage(p.stdout, s)
		}
		if len(b.Stages) == 0 {
			fmt.Fprintln(p.stdout, "no stage ran in this boot")
		}
	}
	return nil
}

func (p *program) reports(all bool) ([]stages.Report, error) {
	if all {
		boots, err := stages.ReadHistory(p.node.Root)
		return append([]stages.Report{}, boots...), err
	}
	r, err := stages.ReadReport(p.node.Root)
	return []stages.Report{*r}, err
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// writeStage prints a stage: a line for each step, and below it what changed and what
// failed. For a failed step it adds the output of its commands.
func writeStage(w io.Writer, s stages.StageReport) {
	fmt.Fprintf(w, "stage %s: %d steps, %.0f ms\n", s.Stage, len(s.Steps), s.Milliseconds)
	for _, step := range s.Steps {
		fmt.Fprintf(w, "  %-9s %6.0f ms  %s%s\n", step.Outcome, step.Milliseconds, step.Name, inParentheses(step.Origin))
		if step.Message != "" {
			fmt.Fprintf(w, "            %s\n", strings.ReplaceAll(step.Message, "\n", "\n            "))
		}
		if len(step.Later) > 0 {
			fmt.Fprintf(w, "            not done here: %s\n", strings.Join(step.Later, ", "))
		}
		for _, i := range step.Items {
			if i.Outcome != report.Unchanged {
				fmt.Fprintf(w, "            %s\n", i)
			}
		}
		if step.Outcome == stages.Failed && step.Output != "" {
			fmt.Fprintf(w, "            | %s\n", strings.ReplaceAll(strings.TrimRight(step.Output, "\n"), "\n", "\n            | "))
		}
	}
}
