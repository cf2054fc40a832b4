// SPDX-License-Identifier: Apache-2.0

// Package kubernetes makes a node a member of a cluster as the config says: with the
// k3s or k0s of its image. It writes the distribution's own config files and the
// drop-in of its unit, starts and restarts that unit, and ends the containers that a
// stopped one leaves behind. It decodes no config and installs no program.
//
// Check says what is wrong with a config, Make returns the files of a node as a Plan,
// and Machine.Apply carries the plan out:
//
//	/etc/rancher/k3s/config.yaml.d/90-kairos.yaml  0644  arguments of k3s; 0600 with a secret
//	/etc/rancher/k3s/registries.yaml               0644  mirrors and credentials of k3s; 0600 with the latter
//	DATA/server/manifests/kairos/*.yaml            0600  manifests of k3s
//	DATA/agent/pod-manifests/kairos-*.yaml         0644  static pods of k3s
//	DATA/agent/images/kairos-*                     link  archives with images, k3s
//	DATA/manifests/kairos/*.yaml                   0600  manifests of k0s
//	/etc/k0s/containerd.d/90-kairos.toml           0644  names the folder below, for containerd of k0s
//	/run/kairos/kubernetes/registries/*/hosts.toml 0600  mirrors and credentials of k0s
//	DATA/images/kairos-*                           link  archives with images, k0s
//	/run/kairos/kubernetes/env                     0600  variables
//	/run/kairos/kubernetes/token                   0600  join token of k0s
//	/run/kairos/kubernetes/member.json             0600  what was applied, see Applied
//	/run/systemd/system/UNIT.d/50-kairos.conf      0644  drop-in; arguments of k0s; one for DatastoreUnit
//
// Machine.Files writes those below DATA, behind the mounts; belowFile has them until then.
// DATA is the data directory: /var/lib/rancher/k3s, /var/lib/k0s, or that of the
// argument --data-dir. Files that an earlier config asked for are removed. Other files
// in these folders are never touched.
package kubernetes

import (
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A role is a part that a node can have in a cluster.
type role struct {
	key          string // of the config
	unit         string // of systemd, in the image
	distribution release.Distribution
	command      string // of the program
	of           func(*config.Config) config.Kubernetes
}

func roles() []role {
	return []role{
		{config.K3s, "k3s.service", release.K3s, "server", func(c *config.Config) config.Kubernetes { return c.K3s }},
		{config.K3sAgent, "k3s-agent.service", release.K3s, "agent", func(c *config.Config) config.Kubernetes { return c.K3sAgent }},
		{config.K0s, "k0scontroller.service", release.K0s, "controller", func(c *config.Config) config.Kubernetes { return c.K0s }},
		{config.K0sWorker, "k0sworker.service", release.K0s, "worker", func(c *config.Config) config.Kubernetes { return c.K0sWorker }},
	}
}

// enabled returns the roles that a config enables.
func enabled(c *config.Config) (on []role) {
	for _, r := range roles() {
		if r.of(c).On() {
			on = append(on, r)
		}
	}
	return on
}

// Wanted tells whether a config says anything about this node's part in a cluster: it
// enables a role, or expects one.
func Wanted(c *config.Config) bool { return len(enabled(c)) > 0 || c.Health.Kubernetes.Text != "" }

// Title names what a config enables, and its place, for a report.
func Title(c *config.Config) (name, origin string) {
	on := enabled(c)
	if len(on) == 0 {
		return "no role", ""
	}
	return on[0].key, on[0].of(c).Origin.String()
}

// Role is the role that a config enables, or empty.
func Role(c *config.Config) string {
	if on := enabled(c); len(on) > 0 {
		return on[0].key
	}
	return ""
}

// defaultData is the data directory of a distribution.
func defaultData(d release.Distribution) string {
	if d == release.K0s {
		return "/var/lib/k0s"
	}
	return "/var/lib/rancher/k3s"
}
