// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/changelog"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newChangelog() *cobra.Command {
	var o factory.DiffOptions
	var talk talkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "changelog OLD NEW",
		Short: "Say what is new in an image, with the vulnerabilities that were fixed",
		Long: `Compares two images, and prints Markdown for the text of a release: versions, kernel,
Kubernetes, vulnerabilities (CVE) that the changelogs of the packages name, packages by
their sources, changed configuration, sizes and what an upgrade downloads. --json has all.

The changelogs are those in the image NEW, /usr/share/doc/PACKAGE/changelog.Debian.gz. If it
leaves them out, the text says so. Nothing is fetched but the images themselves.

OLD and NEW are what "kairos-build diff" takes. docs/changelog.md describes the result.`,
		Example: `  kairos-build changelog registry.example.org/edge/debian:13-core-amd64-generic-v1.3.0 out/debian-13
  kairos-build changelog old/debian-13 debian-13 >release.md
  kairos-build changelog out/debian-12 out/debian-13 --json`,
		Args: commandline.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var result *changelog.Changelog
			err := compare(cmd, args, o, talk, func(o factory.DiffOptions) (err error) {
				result, err = factory.Changelog(cmd.Context(), o, archive.CompareVersions)
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
