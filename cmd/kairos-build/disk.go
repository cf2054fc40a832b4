// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newDisk() *cobra.Command {
	var o factory.DiskOptions
	var talk talkFlags
	var asJSON, verify bool
	var idle []string
	cmd := &cobra.Command{
		Use:   "disk IMAGE | disk --verify BUILD [DISK]",
		Short: "Make a bootable disk from an image that exists, or verify one",
		Long: `Writes a bootable disk from an image that kairos-build made before. IMAGE is the
folder of a build, a folder with an OCI layout, a tar of one, or a registry
reference. No root, no loop device and no mount are needed.

With --verify it reads disks and compares every byte with the digests in their
description. BUILD is the folder of a build, its build.json, or what
"kairos-build disk --json" printed. DISK is a copy of the disk, or a device that it
was written to. Verify before the first boot: it gives the disk its own identity.`,
		Example: `  kairos-build disk out/debian-13 -o node.raw
  kairos-build disk registry.example.org/edge/debian-13:v1.4.0 -o node.raw --cloud-config site.yaml
  kairos-build disk out/debian-13 -o node.raw --slot-size 6G
  kairos-build disk out/debian-13 -o node.qcow2
  kairos-build disk out/debian-13 -o node --artifact qcow2,vmdk,vhdx
  kairos-build disk out/debian-13 -o node.raw.zst
  kairos-build disk debian-13.tar -o node.raw --json >node.json
  kairos-build disk --verify out/debian-13
  kairos-build disk --verify node.json /dev/sdb`,
		Args: commandline.Args(func(cmd *cobra.Command, args []string) error {
			if verify {
				return cobra.RangeArgs(1, 2)(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !verify {
				return makeDisk(cmd, o, &talk, args[0], asJSON)
			}
			cmd.Flags().Visit(func(f *pflag.Flag) { idle = append(idle, "--"+f.Name) })
			if idle = slices.DeleteFunc(idle, forVerify); len(idle) > 0 {
				return commandline.Usagef(cmd, "%s has no meaning with --verify", strings.Join(idle, ", "))
			}
			return verifyDisks(cmd, &talk, args, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&verify, "verify", false, "read disks that were made before, and write nothing")
	flags.StringVarP(&o.Path, "output", "o", "", "the disk `file` to write; its end says the format, as in node.qcow2 or node.raw.zst (default disk.raw)")
	flags.StringSliceVar(&o.Artifacts, "artifact", nil, "formats to write: "+strings.Join(factory.DiskKinds(), ", ")+"; several get their own ends (default: by the name of -o)")
	flags.StringVar(&o.Compress, "compress", "", compressHelp())
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &o.Configs)
	sizeFlags(flags, &o.Sizes)
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	talk.add(flags)
	commandline.Complete(cmd, "artifact", factory.DiskKinds())
	commandline.Complete(cmd, "compress", factory.Compressions())
	return cmd
}

// forVerify reports whether a flag applies to --verify.
func forVerify(flag string) bool {
	return slices.Contains([]string{"--verify", "--json", "--progress", "--verbose"}, flag)
}

func makeDisk(cmd *cobra.Command, o factory.DiskOptions, talk *talkFlags, image string, asJSON bool) (err error) {
	if _, o.State, err = new(engineFlags).options(); err != nil {
		return err
	}
	t, err := talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.Image, o.Progress, o.Log = image, t, t.log
	made, err := factory.MakeDisks(cmd.Context(), o)
	if err := t.close(err); err != nil {
		return err
	}
	return printDisks(cmd.OutOrStdout(), made, asJSON)
}

// printDisks prints what was made. JSON of one disk is the disk itself.
func printDisks(w io.Writer, made []factory.Disk, asJSON bool) error {
	switch {
	case asJSON && len(made) == 1:
		return json.NewEncoder(w).Encode(made[0])
	case asJSON:
		return json.NewEncoder(w).Encode(map[string][]factory.Disk{"disks": made})
	}
	for _, d := range made {
		if _, err := fmt.Fprintln(w, diskLine(d.Path, d)); err != nil {
			return err
		}
	}
	return nil
}

// compressHelp describes --compress.
func compressHelp() string {
	return "compress the disks: " + strings.Join(factory.Compressions(), ", ") + "; its name gets the end, as in disk.raw.zst"
}

// diskLine formats a disk for the output of a command.
func diskLine(path string, d factory.Disk) string {
	return fmt.Sprintf("disk   %s  content:%s", path, d.Content)
}

func verifyDisks(cmd *cobra.Command, talk *talkFlags, args []string, asJSON bool) error {
	t, err := talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o := factory.VerifyOptions{Build: args[0], Progress: t}
	if len(args) > 1 {
		o.Path = args[1]
	}
	good, err := factory.VerifyDisks(cmd.Context(), o)
	err = t.close(err)
	if asJSON {
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(good))
	}
	for _, d := range good {
		fmt.Fprintln(cmd.OutOrStdout(), diskLine(d.Path, d)+"  as it was made")
	}
	return err
}
