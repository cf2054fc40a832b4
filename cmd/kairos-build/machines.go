// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/machines"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newMachines() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "machines",
		Short: "Show the machines that `run --keep` kept, or remove some",
		Example: `  kairos-build machines
  kairos-build machines remove edge`,
		Args: commandline.NoVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := machineStore()
			if err != nil {
				return err
			}
			list, err := store.List()
			if err != nil {
				return err
			}
			if asJSON {
				return commandline.WriteJSON(cmd.OutOrStdout(), list)
			}
			return printMachines(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newMachinesRemove())
	return cmd
}

func newMachinesRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME…",
		Short:   "Remove kept machines, with their disks",
		Example: `  kairos-build machines remove edge`,
		Args:    commandline.Args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			store, err := machineStore()
			for _, name := range names {
				if err == nil {
					err = errors.Join(err, store.Remove(name))
				}
			}
			return err
		},
	}
}

func printMachines(w io.Writer, list []*machines.Machine) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no machine is kept; `kairos-build run DIR --keep NAME` begins one")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tFIRMWARE\tBEGAN\tON THE HOST\tFROM")
	for _, m := range list {
		size, err := m.Allocated()
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Boot, ago(m.Began), humanize.IBytes(uint64(max(size, 0))), m.From)
	}
	return table.Flush()
}
