// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/commandline/validation"
	"github.com/kairos-build/kairos-build/framework/config"
)

func newValidate() *cobra.Command {
	var o config.Options
	cmd := &cobra.Command{
		Use:   "validate FILE|-|URL...",
		Short: "Check cloud-configs, in the words of the node",
		Long: `Checks cloud-configs as a node does at boot: every mistake of a file at once,
with line and column. FILE may be "-" for standard input, or an http or https
URL. A network-config of cloud-init (version 1 or 2) is known by its keys. The
problems go to stderr, a line for each file to stdout. The exit status is 1 when
a file is not valid. docs/config.md has the keys.`,
		Example: `  kairos-build validate site.yaml
  kairos-build validate https://example.org/site.yaml
  kairos-build validate network-config
  kairos-build validate --compat old.yaml < /dev/null`,
		Args: commandline.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := validation.Checker{Options: o, Stdin: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Colour: validation.Coloured(cmd.ErrOrStderr())}
			ok, err := c.Check(cmd.Context(), args)
			if err == nil && !ok {
				return commandline.ErrQuiet
			}
			return err
		},
	}
	compatFlag(cmd.Flags(), &o)
	return cmd
}

// compatFlag defines --compat.
func compatFlag(flags *pflag.FlagSet, o *config.Options) {
	flags.BoolVar(&o.Compat, "compat", false, "only warn about unknown keys of a cloud-config; on a disk, the line \""+config.CompatLine+"\" in the file tells the node")
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a cloud-config, for editors",
		Long: `Prints the JSON Schema (draft 2020-12) of a cloud-config. It is made from the
tables that decode, and is docs/cloud-config.schema.json in the source.`,
		Example: "  kairos-build schema > cloud-config.schema.json",
		Args:    commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}
