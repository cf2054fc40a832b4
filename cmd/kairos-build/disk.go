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
	var f diskFlags
	var idle []string
	cmd := &cobra.Command{
		Use:   "disk IMAGE | disk --verify BUILD [DISK]",
		Short: "Make a bootable disk from an image that exists, or verify one",
		Long: `Writes a bootable disk from an image that kairos-build made before. IMAGE is the
folder of a build, a folder with an OCI layout, a tar of one, or a registry
reference. No root, no loop device, no mount and no other program are needed.

The end of FILE's name says the format and the compression, or --artifact and
--compress do. docs/artifacts.md says which format is for what. The bills of materials
of the image, if some are known, are written beside the disk. With --sign all files get
a signature beside them, FILE.sigstore.json.

With --verify it reads disks and compares every byte with the digests in their
description; a disk that is not raw needs a checksum for that. BUILD is the folder of a build, its build.json, or what
"kairos-build disk --json" printed. DISK is a copy of the disk, or a device that it
was written to. Verify before the first boot: it gives the disk its own identity.`,
		Example: `  kairos-build disk out/debian-13 -o node.raw
  kairos-build disk registry.example.org/edge/debian-13:v1.4.0 -o node.raw --cloud-config site.yaml
  kairos-build disk out/debian-13 -o node.raw --slot-size 6G
  kairos-build disk out/debian-13 -o node.qcow2
  kairos-build disk out/debian-13 -o node --artifact qcow2,vmdk,vhdx
  kairos-build disk out/debian-13 -o node.raw.zst --sign release.key
  kairos-build disk debian-13.tar -o node.raw --json >node.json
  kairos-build disk --verify out/debian-13
  kairos-build disk --verify node.json /dev/sdb`,
		Args: commandline.Args(func(cmd *cobra.Command, args []string) error {
			if f.verify {
				return cobra.RangeArgs(1, 2)(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.verify {
				o.Image = args[0]
				return f.makeDisk(cmd, o)
			}
			cmd.Flags().Visit(func(flag *pflag.Flag) { idle = append(idle, "--"+flag.Name) })
			if idle = slices.DeleteFunc(idle, forVerify); len(idle) > 0 {
				return commandline.Usagef(cmd, "%s has no meaning with --verify", strings.Join(idle, ", "))
			}
			return verifyDisks(cmd, &f.talk, args, f.asJSON)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.verify, "verify", false, "read disks that were made before, and write nothing")
	flags.StringVarP(&o.Path, "output", "o", "", "the disk `file` to write; its end says the format, as in node.qcow2 or node.raw.zst (default disk.raw)")
	flags.StringSliceVar(&o.Artifacts, "artifact", nil, "formats to write: "+strings.Join(factory.DiskKinds(), ", ")+"; several get their own ends (default: by the name of -o)")
	flags.StringVar(&o.Compress, "compress", "", compressHelp())
	flags.StringVar(&o.Arch, "arch", "amd64", "architecture to pick from an image with several")
	flags.StringArrayVar(&o.CloudConfigs, "cloud-config", nil, "cloud-config `file` for the disk's /oem; may be repeated")
	compatFlag(flags, &o.Configs)
	sizeFlags(flags, &o.Sizes)
	flags.BoolVar(&f.asJSON, "json", false, "print JSON on stdout")
	flags.BoolVar(&o.Checksum, "checksum", false, "write the SHA-256 of each file beside it, for sha256sum")
	flags.StringVar(&f.sign, "sign", "", "sign the files with a `KEY`: a file, a reference to a key service, keyless, or new, see \"kairos-build sign --help\"; implies --checksum")
	f.signer.add(flags)
	f.talk.add(flags)
	commandline.Complete(cmd, "artifact", factory.DiskKinds())
	commandline.Complete(cmd, "compress", factory.Compressions())
	return cmd
}

// forVerify reports whether a flag applies to --verify.
func forVerify(flag string) bool {
	return slices.Contains([]string{"--verify", "--json", "--progress", "--verbose"}, flag)
}

// diskFlags are the flags of disk that are not options of the disk.
type diskFlags struct {
	talk           talkFlags
	signer         signerFlags
	sign           string
	asJSON, verify bool
}

func (f *diskFlags) makeDisk(cmd *cobra.Command, o factory.DiskOptions) (err error) {
	if _, o.State, err = new(engineFlags).options(); err != nil {
		return err
	}
	t, err := f.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	o.Progress, o.Log = t, t.log
	made, err := f.write(cmd, o, t)
	if err := t.close(err); err != nil {
		return err
	}
	return printDisks(cmd.OutOrStdout(), made, f.asJSON)
}

// write makes the disks, and what is beside them.
func (f *diskFlags) write(cmd *cobra.Command, o factory.DiskOptions, t *talker) ([]factory.Disk, error) {
	signer, err := f.openSigner(cmd, t)
	if err != nil {
		return nil, err
	}
	o.Checksum = o.Checksum || signer != nil
	made, err := factory.MakeDisks(cmd.Context(), o)
	if err != nil {
		return nil, err
	}
	all, err := bills(cmd.Context(), o)
	if err != nil {
		return nil, err
	}
	paths, err := writeBills(made[0].Path, all)
	if err != nil || signer == nil {
		return made, err
	}
	return made, signDisks(cmd.Context(), signer, t, made, paths)
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
