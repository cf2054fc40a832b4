// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/commandline/validation"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

func newValidate(p *program) *cobra.Command {
	var o config.Options
	cmd := &cobra.Command{
		Use:   "validate [FILE|-|URL]...",
		Short: "Check cloud-configs; without a file, those of this node",
		Long: `Checks cloud-configs as the boot does: every mistake of a file at once, with line
and column. FILE may be "-" for standard input, or an http or https URL. The
exit status is 1 when a file is not valid.`,
		Example: `  kairos-agent validate
  kairos-agent validate /oem/90_site.yaml
  kairos-agent validate --compat - < old.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.validate(cmd.Context(), args, o) },
	}
	compatFlag(cmd.Flags(), &o)
	return cmd
}

// compatFlag defines --compat.
func compatFlag(f *pflag.FlagSet, o *config.Options) {
	f.BoolVar(&o.Compat, "compat", false, "only warn about unknown keys, as with "+config.CompatArgument+" on the kernel command line")
}

// validate prints every problem to stderr and a line for each file to stdout.
func (p *program) validate(ctx context.Context, args []string, o config.Options) error {
	c := p.checker(o)
	image, err := kubernetes.ReadImage(os.DirFS(p.node.Root.Dir))
	if err != nil {
		return err
	}
	c.Kubernetes = &image
	if len(args) == 0 {
		return quietly(p.validateNode(c))
	}
	ok, err := c.Check(ctx, args)
	if err != nil {
		return err
	}
	return quietly(ok)
}

// quietly returns the error of a command that has printed all its problems.
func quietly(ok bool) error {
	if ok {
		return nil
	}
	return commandline.ErrQuiet
}

func (p *program) checker(o config.Options) validation.Checker {
	return validation.Checker{Options: o, Stdin: p.stdin, Out: p.stdout, Err: p.stderr, Colour: validation.Coloured(p.stderr)}
}

// validateNode checks the files of the node, and the order of the steps of all files
// together: a file may name steps of other files.
func (p *program) validateNode(c validation.Checker) (ok bool) {
	loaded := c.Options.Load(os.DirFS(p.node.Root.Dir), layout.ConfigDirs())
	ok = true
	for _, stage := range slices.Sorted(maps.Keys(loaded.Config.Stages)) {
		if err := stages.NewPlan(stage, loaded.Config.Stages[stage]).Err(); err != nil {
			fmt.Fprintln(p.stderr, err)
			ok = false
		}
	}
	if len(loaded.Files) == 0 {
		fmt.Fprintf(p.stdout, "no config files in %v\n", layout.ConfigDirs())
	}
	var files []*config.File
	for i := range loaded.Files {
		files = append(files, &loaded.Files[i])
	}
	kubernetes.Judge(files, c.Kubernetes)
	return c.Print(loaded.Files) && ok
}

func newSchema(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Aliases: []string{"print-schema"}, // as Kairos calls it
		Short:   "Print the JSON Schema of a cloud-config, for editors",
		Example: "  kairos-agent schema > cloud-config.schema.json",
		Args:    commandline.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(schema)
			return err
		},
	}
}
