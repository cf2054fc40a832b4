// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

func newStatus(p *program) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show slot, health, version, addresses and problems",
		Long: `Shows how this node is, what matters most at the end: network addresses, config,
version, slot, health and problems. Some of it only root can read.`,
		Example: `  kairos-agent status
  sudo kairos-agent status --all          # partitions and mounts too
  sudo kairos-agent status --json`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.status(cmd.Context(), all, asJSON) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "also partitions, mounts, the last ten events, and files that are kept as they are here")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented in framework/node/status")
	return cmd
}

func (p *program) status(ctx context.Context, all, asJSON bool) error {
	s := p.node.Status(ctx)
	if asJSON {
		return p.printJSON(s)
	}
	return s.WriteTable(p.stdout, status.View{All: all, Width: columns(p.stdout)})
}

// columns returns the width of a terminal; 0 for anything else.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
