// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
)

func newISO() *cobra.Command {
	var o factory.ISOOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "iso IMAGE",
		Short: "Make an installer ISO from an image that exists",
		Long: `Writes an ISO that starts a live system and installs: as a CD-ROM, and as a stick or
disk that it is copied to; under BIOS, UEFI and UEFI with Secure Boot. IMAGE is the
folder of a build, a folder with an OCI layout, a tar of one, or a registry
reference. No root, no mount and no other program are needed.

A cloud-config in the ISO is used by the live system and goes to the installed node.
"kairos-build iso add-config" puts one into a finished ISO.`,
		Example: `  kairos-build iso out/debian-13 -o debian-13.iso
  kairos-build iso out/debian-13 -o site.iso --cloud-config site.yaml
  kairos-build iso registry.example.org/edge/debian-13:v1.4.0 -o node.iso
  kairos-build iso out/debian-13 -o stick.iso --persistent 8G`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, o.State, err = new(engineFlags).options(); err != nil {
				return err
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.Image, o.Progress, o.Log = args[0], t, t.log
			made, err := factory.MakeISO(cmd.Context(), o)
			if err := t.close(err); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "iso    %s  sha256:%s\n", made.Path, made.SHA256)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Path, "output", "o", factory.ISOName, "the ISO `file` to write")
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the live system and the installed node; may be repeated")
	compatFlag(flags, &o.Configs)
	flags.Var((*size)(&o.Persistent), "persistent", "room on a stick where the live system keeps data, a `size` such as 8G (default none)")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	cmd.AddCommand(newAddConfig())
	return cmd
}

func newAddConfig() *cobra.Command {
	var to string
	var how config.Options
	var talk talkFlags
	cmd := &cobra.Command{
		Use:   "add-config ISO FILE",
		Short: "Put a cloud-config into a finished ISO",
		Long: `Checks the cloud-config FILE and puts it into an ISO of kairos-build, in the place of
the one that is there. ISO is a file, or a device that an ISO was written to. Nothing
else in it changes, and it starts as before. The old config is overwritten: it may hold
secrets.`,
		Example: `  kairos-build iso add-config debian-13.iso site.yaml
  kairos-build iso add-config debian-13.iso site.yaml -o site.iso
  kairos-build iso add-config /dev/sdb site.yaml`,
		Args: commandline.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			err = factory.AddConfig(cmd.Context(), args[0], to, args[1], how, t.log)
			if err := t.close(err); err != nil {
				return err
			}
			changed := args[0]
			if to != "" {
				changed = to
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "config %s  is in %s\n", args[1], changed)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&to, "output", "o", "", "leave ISO as it is, and write the changed one to this `file`")
	compatFlag(flags, &how)
	talk.add(flags)
	return cmd
}
