// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/health"
)

func newHealth(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Make one attempt of every health check, now",
		Long: `Makes one attempt of every health check: boot-complete.target, and those of the
key health of the cloud-config. It changes nothing. The exit status is 1 when a
check does not pass.`,
		Example: `  kairos-agent health
  kairos-agent health --json`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.health(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented in framework/node/health")
	return cmd
}

func (p *program) health(ctx context.Context, asJSON bool) error {
	r := p.node.Health(ctx)
	if err := printHealth(p.stdout, r, asJSON); err != nil {
		return err
	}
	if !r.OK {
		return commandline.ErrQuiet
	}
	return nil
}

func printHealth(w io.Writer, r health.Result, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		word := "passed"
		if !c.Passed {
			word = "FAILED"
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f s\n", word, c.Name, c.Seconds)
		for line := range strings.Lines(c.Message) {
			fmt.Fprintf(t, "\t  %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(t, "warning\t%s\n", warning)
	}
	return t.Flush()
}
