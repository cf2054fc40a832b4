// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/commandline/validation"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
)

func newValidate() *cobra.Command {
	var o validateFlags
	cmd := &cobra.Command{
		Use:   "validate FILE|-|URL...",
		Short: "Check cloud-configs, in the words of the node",
		Long: `Checks cloud-configs as a node does at boot: every mistake of a file at once,
with line and column. FILE may be "-" for standard input, or an http or https
URL. A network-config of cloud-init (version 1 or 2) is known by its keys. The
problems go to stderr, a line for each file to stdout. The exit status is 1 when
a file is not valid. docs/config.md has the keys.

With --image, the keys of Kubernetes are checked against the k3s or k0s of that
image, its arguments included.`,
		Example: `  kairos-build validate site.yaml
  kairos-build validate https://example.org/site.yaml
  kairos-build validate network-config
  kairos-build validate site.yaml --image out/debian-13
  kairos-build validate --compat old.yaml < /dev/null`,
		Args: commandline.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	compatFlag(cmd.Flags(), &o.how)
	cmd.Flags().StringVar(&o.Image, "image", "", "the image of the nodes: a `folder`, a tar or a registry reference, as simulate takes it")
	cmd.Flags().StringVar(&o.Arch, "arch", "amd64", "with --image: architecture to pick from an image with several")
	o.talk.add(cmd.Flags())
	return cmd
}

// validateFlags are the flags of `kairos-build validate`.
type validateFlags struct {
	factory.SimulateOptions // for --image
	how                     config.Options
	talk                    talkFlags
}

func (o *validateFlags) run(cmd *cobra.Command, args []string) error {
	c := validation.Checker{Options: o.how, Stdin: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Colour: validation.Coloured(cmd.ErrOrStderr())}
	if o.Image != "" {
		image, err := o.kubernetes(cmd)
		if err != nil {
			return err
		}
		c.Kubernetes = &image
	}
	ok, err := c.Check(cmd.Context(), args)
	if err == nil && !ok {
		return commandline.ErrQuiet
	}
	return err
}

// kubernetes is what the image has of Kubernetes.
func (o *validateFlags) kubernetes(cmd *cobra.Command) (image kubernetes.Image, err error) {
	if _, o.State, err = new(engineFlags).options(); err != nil {
		return image, err
	}
	t, err := o.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return image, err
	}
	o.Progress = t
	image, err = factory.ReadKubernetes(cmd.Context(), o.SimulateOptions)
	return image, t.close(err)
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
