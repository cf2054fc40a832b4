// SPDX-License-Identifier: Apache-2.0

package config

import "net/netip"

var p2pAutoFields = []field[checked]{
	check("enable", "Whether roles are chosen by the nodes.", aBool),
	check("ha", "Several masters.", object([]field[checked]{
		check("enable", "Whether there are several.", aBool),
		check("master_nodes", "How many besides the first.", aSize),
		check("external_db", "A database in place of etcd.", aGiven),
	})),
}

var p2pFields = []field[checked]{
	field[checked]{name: "network_token", about: "The secret that makes nodes one network.", shape: textShape, decode: func(v value, _ *checked) { v.Text() }}.hidden(),
	check("network_id", "The name of the network.", aGiven),
	check("role", "The role of this node.", oneOf("auto", "master", "worker", "none", "master/clusterinit", "master/ha")),
	check("dns", "Whether names of nodes are resolved.", aBool),
	check("loglevel", "How much is logged.", oneOf("debug", "info", "warn", "warning", "error", "fatal")),
	check("vpn", "The virtual network.", object([]field[checked]{
		check("create", "Whether it is made.", aBool),
		check("use", "Whether Kubernetes uses it.", aBool),
		check("env", "Variables.", stringMap),
	})),
	check("minimum_nodes", "How many nodes must be there. The default is 2.", aSize),
	check("disable_dht", "Whether nodes find each other on the local network only.", aBool),
	check("auto", "How roles are chosen.", object(p2pAutoFields)),
	check("dynamic_roles", "Whether roles may change.", aBool),
}

// anAddress is an IP address or a host name.
var anAddress = kind[string]{givenShape, func(v value) (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	if _, err := netip.ParseAddr(s); err != nil {
		return v.hostnameOnly(s)
	}
	return s, true
}}

// hostnameOnly is a name in place of an address.
func (v value) hostnameOnly(s string) (string, bool) {
	if message, suggestion := hostnameProblem(s); message != "" {
		v.Fail(message, suggestion)
		return "", false
	}
	return s, true
}

// kubernetesFields are about the cluster.
var kubernetesFields = []field[Config]{
	role(K3s, "A k3s server: docs/kubernetes-node.md.", serverFields, func(c *Config) *Kubernetes { return &c.K3s }),
	role(K3sAgent, "A k3s agent: docs/kubernetes-node.md.", agentFields, func(c *Config) *Kubernetes { return &c.K3sAgent }),
	role(K0s, "A k0s controller: docs/kubernetes-node.md.", controllerFields, func(c *Config) *Kubernetes { return &c.K0s }),
	role(K0sWorker, "A k0s worker: docs/kubernetes-node.md.", workerFields, func(c *Config) *Kubernetes { return &c.K0sWorker }),
	idle[Config]("p2p", "Nodes that find each other.", object(p2pFields)),
	idle[Config]("auto", "How roles are chosen; see p2p.auto.", eitherOf(object(p2pAutoFields), aBool)),
	{name: "kubevip", about: "An address that k3s servers share: docs/kubernetes-node.md.", shape: mapping(kubeVIPFields), decode: decodeKubeVIP},
}
