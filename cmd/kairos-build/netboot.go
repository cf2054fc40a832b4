// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netboot"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newNetboot() *cobra.Command {
	var o factory.NetbootOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "netboot IMAGE",
		Short: "Write the files by which machines boot an image from the network",
		Long: `Writes a folder with the kernel, the initrd, the root image, a script for iPXE, a
configuration for GRUB, the distribution's signed programs for UEFI, and netboot.json
with the size and digest of each. Any server for TFTP and HTTP can serve it;
"kairos-build serve-netboot" needs no folder.

IMAGE is the folder of a build, a folder with an OCI layout, a tar of one, or a
registry reference. No root is needed.`,
		Example: `  kairos-build netboot out/debian-13 -o /srv/netboot
  kairos-build netboot registry.example.org/edge/debian-13:v1.4.0 -o netboot --cloud-config site.yaml`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Image = args[0]
			made, err := makeNetboot(cmd, o, talk)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
			}
			for _, f := range made.Files {
				fmt.Fprintf(cmd.OutOrStdout(), "%-14s %12d bytes  sha256:%s\n", f.Path, f.Size, f.SHA256)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Path, "output", "o", "netboot", "the `folder` to write")
	netbootFlags(flags, &o)
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	return cmd
}

// makeNetboot writes the folder, and shows the progress.
func makeNetboot(cmd *cobra.Command, o factory.NetbootOptions, talk talkFlags) (made netboot.Manifest, err error) {
	if _, o.State, err = new(engineFlags).options(); err != nil {
		return made, err
	}
	t, err := talk.open(cmd.ErrOrStderr())
	if err != nil {
		return made, err
	}
	o.Progress, o.Log = t, t.log
	made, err = factory.MakeNetboot(cmd.Context(), o)
	return made, t.close(err)
}

// netbootFlags are those of netboot and serve-netboot.
func netbootFlags(flags *pflag.FlagSet, o *factory.NetbootOptions) {
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the machines; may be repeated. Whoever is in the network can read it")
	flags.BoolVar(&o.Install, "install", false, "install on the first suitable disk of each machine, without a person: see docs/netboot.md")
	compatFlag(flags, &o.Configs)
}
