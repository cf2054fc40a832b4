// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newDisk() *cobra.Command {
	var o factory.DiskOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "disk IMAGE",
		Short: "Make a bootable disk from an image that exists, without building",
		Long: `Writes a bootable disk from an image that kairos-build made before. IMAGE is a
folder with an OCI layout, a tar of one, or a registry reference. No root, no
loop device and no mount are needed.`,
		Example: `  kairos-build disk out/debian-13/image -o node.raw
  kairos-build disk registry.example.org/edge/debian-13:v1.4.0 -o node.raw --cloud-config site.yaml
  kairos-build disk out/debian-13/image -o node.raw --slot-size 6G
  kairos-build disk debian-13.tar -o node.raw --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if _, o.State, err = new(engineFlags).options(); err != nil {
				return err
			}
			o.Image = args[0]
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.Progress, o.Log = t, t.log
			made, err := factory.MakeDisk(cmd.Context(), o)
			if err := t.close(err); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "disk   %s  sha256:%s\n", made.Path, made.SHA256)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Path, "output", "o", "disk.raw", "the disk `file` to write")
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &o.Configs)
	sizeFlags(flags, &o.Sizes)
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}
