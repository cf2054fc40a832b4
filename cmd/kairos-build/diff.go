// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newDiff() *cobra.Command {
	var o factory.DiffOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what differs between two images",
		Long: `Compares two images, and prints Markdown: packages that are added, removed or changed,
sizes by package, units, set-user-ID files, options of the kernel, layers with what an
upgrade from A to B downloads, and files of no package. --json has every file.

A and B are flavors that were built here, folders of builds, OCI layouts, tars of them,
images in a registry, or raw disks. docs/diff.md describes the result.`,
		Example: `  kairos-build diff out/debian-12 out/debian-13
  kairos-build diff debian-13 ./mysite
  kairos-build diff registry.example.org/edge/debian:v1.4.0 out/debian-13 --json
  kairos-build diff old/disk.raw out/debian-13/disk.raw`,
		Args: commandline.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var result *diff.Result
			err := compare(cmd, args, o, talk, func(o factory.DiffOptions) (err error) {
				result, err = factory.Diff(cmd.Context(), o)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return commandline.WriteJSON(cmd.OutOrStdout(), result)
			}
			return result.Markdown(cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

// compare opens what both verbs that compare images need, and calls do.
func compare(cmd *cobra.Command, args []string, o factory.DiffOptions, talk talkFlags, do func(factory.DiffOptions) error) (err error) {
	if o.A, err = builtBy(args[0]); err != nil {
		return err
	}
	if o.B, err = builtBy(args[1]); err != nil {
		return err
	}
	builder, state, err := new(engineFlags).options()
	if err != nil {
		return err
	}
	t, err := talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.Progress = t
	if o.Families, err = families(familyOptions{state, builder, sortMirrors(nil), sortMirrors(strings.Fields(os.Getenv(archive.EnvMirror))), t.log}); err != nil {
		return t.close(commandline.UsageError{Err: err})
	}
	return t.close(do(o))
}
