// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/node/cluster"
	"github.com/kairos-build/kairos-build/framework/node/health"
)

// member returns what a config makes of this node in its cluster.
func (n *Node) member(c *config.Config) (kubernetes.Member, error) {
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	if err != nil {
		return kubernetes.Member{}, err
	}
	return kubernetes.MemberOf(c, image)
}

// inCluster is this boot of the node, as its cluster is asked about it.
func (n *Node) inCluster(m kubernetes.Member) cluster.This {
	hostname, err := n.Root.Read("/proc/sys/kernel/hostname")
	n.warn("reading the host name", err)
	return cluster.This{Root: n.Root, Member: m, BootID: n.bootID(), Hostname: strings.TrimSpace(string(hostname))}
}

// prober makes attempts of checks. That of Kubernetes needs to know the node.
func (n *Node) prober(c *config.Config) health.Prober {
	probe := n.Probe
	if probe == nil {
		probe = health.Probe
	}
	return func(ctx context.Context, check config.Check) error {
		switch check.Kubernetes {
		case "":
			return probe(ctx, check)
		case datastoreReady:
			return n.isPrepared()
		}
		m, err := n.member(c)
		if err != nil {
			return err
		}
		return n.inCluster(m).Ready(ctx)
	}
}
