// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node"
)

// newServices returns the verbs that units run. They print nothing besides the messages
// of the node.
func newServices(p *program) []*cobra.Command {
	return []*cobra.Command{
		p.service(&cobra.Command{Use: "boot", Short: "Apply the cloud-config and run its early stages"}, p.node.Boot),
		p.service(&cobra.Command{Use: "datasource", Short: "Ask this machine's metadata services"}, p.node.Datasource),
		p.newKubernetes(),
		p.service(&cobra.Command{Use: "ready", Short: "Say on every console that the node is up"}, p.node.Ready),
		p.service(&cobra.Command{Use: "settle", Short: "Check a new slot, keep it or leave it"}, p.node.Settle),
		p.service(&cobra.Command{Use: "trial", Short: "Limit the time in which a boot comes up"}, p.node.Trial),
	}
}

func (p *program) newKubernetes() *cobra.Command {
	var stop, datastore, files bool
	cmd := p.service(&cobra.Command{Use: "kubernetes", Short: "Configure k3s or k0s and start it"}, func(ctx context.Context) error {
		switch {
		case stop:
			return p.node.StopContainers(ctx)
		case datastore:
			return p.node.PrepareDatastore(ctx)
		case files:
			return p.node.KubernetesFiles(ctx)
		}
		return p.node.Kubernetes(ctx)
	})
	cmd.Flags().BoolVar(&stop, "stop", false, "end the containers that the stopped service has left")
	cmd.Flags().BoolVar(&datastore, "datastore", false, "copy the stopped datastore before another minor version starts, or put the copy back")
	cmd.Flags().BoolVar(&files, "files", false, "write the manifests and links that were applied below the data directory")
	cmd.MarkFlagsMutuallyExclusive("stop", "datastore", "files")
	return cmd
}

func (p *program) service(cmd *cobra.Command, do func(context.Context) error) *cobra.Command {
	cmd.Short += " (kairos-" + cmd.Use + ".service)"
	cmd.Example = "  kairos-agent " + cmd.Use
	cmd.Args = commandline.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := do(cmd.Context())
		if errors.Is(err, node.ErrSaid) {
			return commandline.ErrQuiet
		}
		return err
	}
	return cmd
}
