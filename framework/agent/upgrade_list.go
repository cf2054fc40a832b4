// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node"
)

func newUpgradeList(p *program) *cobra.Command {
	var o node.UpgradesOptions
	var asJSON bool
	registry := newRegistryFlags()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List newer images of this node's kind in a registry, newest first",
		Long: `Lists the images of this node's kind (its release, variant, architecture, model and
distribution of Kubernetes) in a registry that are newer: of a newer version, or of
the same version with a newer Kubernetes. It asks the registry from which the image
of the running slot came, which only root can read, or that of --source.`,
		Example: `  sudo kairos-agent upgrade list
  kairos-agent upgrade list --source oci:registry.example.org/debian --pre
  sudo kairos-agent upgrade list --all --json`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Registry = registry.options(newLog(p.stderr))
			return p.listUpgrades(cmd.Context(), o, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Source, "source", "", "look in this registry: oci:`REF`, whose tag does not count (default: where the image of the running slot came from)")
	f.BoolVar(&o.Pre, "pre", false, "also pre-releases of the image or of Kubernetes")
	f.BoolVar(&o.All, "all", false, "also images that are not newer")
	registry.declare(f)
	f.BoolVar(&asJSON, "json", false, "print JSON, as documented at Upgrades in framework/node")
	return cmd
}

func (p *program) listUpgrades(ctx context.Context, o node.UpgradesOptions, asJSON bool) error {
	found, err := p.node.Upgrades(ctx, o)
	if errors.Is(err, node.ErrNoSource) {
		return commandline.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(found)
	}
	if len(found.Images) == 0 {
		fmt.Fprintf(p.stderr, "no %s of this node's kind in %s, which has %d tags\n", what(o), found.Source, found.Tags)
	}
	return printUpgrades(p.stdout, found)
}

// what names the images that were looked for.
func what(o node.UpgradesOptions) string {
	switch {
	case o.All && o.Pre:
		return "image"
	case o.All:
		return "released image"
	case o.Pre:
		return "newer image"
	}
	return "newer released image"
}

func printUpgrades(w io.Writer, u node.Upgrades) error {
	if len(u.Images) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VERSION\tKUBERNETES\tSOURCE")
	for _, image := range u.Images {
		version := image.Version
		if image.Installed {
			version += " (this)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", version, cmp.Or(image.Kubernetes, "none"), image.Source)
	}
	return t.Flush()
}
