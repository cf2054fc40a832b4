// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

func newVersion(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the agent and of the image",
		Example: `  kairos-agent version
  kairos-agent version --json`,
		Args: commandline.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.version(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) version(asJSON bool) error {
	image := status.Release(p.node.Root)["KAIROS_VERSION"]
	if image == "" {
		image = "unknown"
	}
	if asJSON {
		return p.printJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "image": image})
	}
	_, err := fmt.Fprintf(p.stdout, "kairos-agent %s (%s/%s), image %s\n", version, runtime.GOOS, runtime.GOARCH, image)
	return err
}
