// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newCache() *cobra.Command {
	var eng engineFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Show what the build cache holds, or prune it",
		Example: `  kairos-build cache
  kairos-build cache --json
  kairos-build cache prune --older 168h
  kairos-build cache prune --all`,
		Args: commandline.NoVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			records, err := onEngine(cmd.Context(), &eng, (*engine.Engine).Usage)
			if err != nil {
				return err
			}
			return printRecords(cmd.OutOrStdout(), records, asJSON, "in the cache")
		},
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	eng.add(cmd.PersistentFlags())
	cmd.AddCommand(newPrune(&eng, &asJSON))
	return cmd
}

func newPrune(eng *engineFlags, asJSON *bool) *cobra.Command {
	var o engine.PruneOptions
	var keep int64
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete from the build cache what no build uses",
		Example: `  kairos-build cache prune --older 168h   # not used for a week
  kairos-build cache prune --keep 5       # all but the 5 GiB used last`,
		Args: commandline.NoVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Keep = keep << 30
			records, err := onEngine(cmd.Context(), eng, func(e *engine.Engine, ctx context.Context) ([]engine.Record, error) { return e.Prune(ctx, o) })
			if err != nil {
				return err
			}
			return printRecords(cmd.OutOrStdout(), records, *asJSON, "deleted")
		},
	}
	cmd.Flags().BoolVar(&o.All, "all", false, "also what is internal to the engine")
	cmd.Flags().DurationVar(&o.Older, "older", 0, "keep what was used within this `time`, such as 168h")
	cmd.Flags().Int64Var(&keep, "keep", 0, "keep this many `GiB`, those used last")
	return cmd
}

// onEngine opens the engine, calls do and closes the engine.
func onEngine(ctx context.Context, flags *engineFlags, do func(*engine.Engine, context.Context) ([]engine.Record, error)) (_ []engine.Record, err error) {
	o, state, err := flags.options()
	if err != nil {
		return nil, err
	}
	if err := factory.MakeState(state); err != nil {
		return nil, err
	}
	e, err := engine.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return do(e, ctx)
}

func printRecords(w io.Writer, records []engine.Record, asJSON bool, what string) error {
	if asJSON {
		return json.NewEncoder(w).Encode(records)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSIZE\tLAST USED\tDESCRIPTION")
	var total uint64
	for _, r := range records {
		total += uint64(max(r.Size, 0))
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.ID, humanize.IBytes(uint64(max(r.Size, 0))), ago(r.LastUsed), r.Description)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d entries, %s %s\n", len(records), humanize.IBytes(total), what)
	return err
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.Time(t)
}
