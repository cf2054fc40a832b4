// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newKairosify() *cobra.Command {
	var f flavorFlags
	cmd := &cobra.Command{
		Use:   "kairosify REF",
		Short: "Make a node image from an image of yours",
		Long: `Makes a node image and a bootable disk from a distribution's image: an OCI layout, a tar of
one, or an image in a registry. It is "kairos-build flavor NAME --base REF" with the flavor
whose distribution and release the image's /etc/os-release names. What the image has stays;
what a node needs is added. See docs/kairosify.md.

An image of a relative that has the packages of a release we know (ID_LIKE and
VERSION_CODENAME of os-release) is taken with a warning. Everything else is refused.

The outputs are in out/NAME, the last part of REF.`,
		Example: `  kairos-build kairosify registry.example.org/edge/app:v3
  kairos-build kairosify ./app --sign release.key --k3s v1.34
  kairos-build kairosify app.tar --package htop -o out/app`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := factory.FlavorOf(cmd.Context(), args[0], f.Arch)
			if err != nil {
				return err
			}
			flavor, err := flavors.Load(found.Flavor)
			if err != nil {
				return err
			}
			f.Flavor, f.Base, f.Relative = found.Flavor, args[0], found.Warning
			if f.Dir == "" {
				f.Dir = filepath.Join("out", lastPart(args[0]))
			}
			return f.build(cmd, flavor)
		},
	}
	f.add(cmd)
	return cmd
}

// lastPart is the name of an image without its registry, folder, tag and digest, and without
// the end of a file's name.
func lastPart(ref string) string {
	name := filepath.Base(strings.TrimRight(ref, "/"))
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	name = strings.TrimSuffix(name, ".tar")
	if strings.Trim(name, ".") == "" {
		return "image"
	}
	return name
}
