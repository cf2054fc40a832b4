// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newInspect() *cobra.Command {
	var o factory.InspectOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect IMAGE|DISK",
		Short: "Show what is verified in a boot, by whom, and what is not",
		Long: `Shows the boot chain of an image or a disk: shim, GRUB and kernel with the signers of
their signatures, the verity root hash, and the policy for the next image. Each
signature is checked against the content of its program. It says plainly what is not
covered.

IMAGE is the folder of a build, a folder with an OCI layout, a tar of one, or a registry
reference. DISK is a file or a device.`,
		Example: `  kairos-build inspect out/debian-13
  kairos-build inspect out/debian-13/disk.raw
  kairos-build inspect /dev/sdb --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, o.State, err = new(engineFlags).options(); err != nil {
				return err
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.Ref, o.Progress = args[0], t
			chain, err := factory.Inspect(cmd.Context(), o)
			if err := t.close(err); err != nil {
				return err
			}
			if asJSON {
				return commandline.WriteJSON(cmd.OutOrStdout(), chain)
			}
			return chain.Print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	talk.add(cmd.Flags())
	return cmd
}
