// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/agent/status"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newStatus(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show slot, root, layout and config problems",
		Example: `  kairos-agent status
  sudo kairos-agent status --json`,
		Args: commandline.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.status(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented in framework/agent/status")
	return cmd
}

func (p *program) status(asJSON bool) error {
	s := status.Collect(p.root)
	if p.onNode() {
		s.AskKernel()
	}
	if !asJSON {
		return s.WriteTable(p.stdout)
	}
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(s)
}
