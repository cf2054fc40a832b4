// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/site"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newInit() *cobra.Command {
	var extends string
	cmd := &cobra.Command{
		Use:   "init FOLDER",
		Short: "Begin a folder with a flavor of your own",
		Long: `Writes a folder with a flavor that extends a built-in one: flavor.yaml, a folder for
files, a cloud-config, a matrix, and a workflow for GitHub. The flavor has the name of the
folder. docs/site.md shows the way from there to a machine that runs it.

Keep the folder in version control. It is enough to build the same image anywhere, together
with a lock ("kairos-build lock FOLDER").`,
		Example: `  kairos-build init mysite
  kairos-build init mysite --extends debian-12`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := site.Begin(args[0], extends, version)
			if err != nil {
				return commandline.UsageError{Err: err}
			}
			for _, name := range written {
				fmt.Fprintf(cmd.OutOrStdout(), "wrote  %s\n", name)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "next   kairos-build flavor %s\n", asArgument(args[0]))
			return err
		},
	}
	cmd.Flags().StringVar(&extends, "extends", flavors.Default, "built-in `flavor` to extend")
	commandline.Complete(cmd, "extends", flavors.Names())
	return cmd
}

// asArgument is the path of a folder as the verbs about flavors take it: a name without a
// slash is a built-in flavor.
func asArgument(dir string) string {
	if flavors.IsPath(dir) {
		return dir
	}
	return "." + string(filepath.Separator) + dir
}
