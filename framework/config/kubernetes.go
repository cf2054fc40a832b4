// SPDX-License-Identifier: Apache-2.0

package config

import "net/netip"

var kubernetesNodeFields = []field[checked]{
	check("enabled", "Whether it runs on this node.", aBool),
	check("args", "Arguments.", many("arguments", aText)),
	field[checked]{name: "env", about: "Variables.", shape: mapOf(scalarShape), decode: func(v value, _ *checked) { stringMap.get(v) }}.hidden(),
	check("replace_args", "Whether args stand in for those that are made, not beside them.", aBool),
	check("replace_env", "Whether env stands in for the one that is made.", aBool),
	check("embedded_registry", "Whether nodes hand images to each other.", aBool),
}

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

var kubevipFields = []field[checked]{
	check("enable", "Whether it runs.", aBool),
	check("eip", "The address that the masters share.", anAddress),
	check("interface", "The network interface.", aGiven),
	check("version", "The version.", aGiven),
	check("image", "The image.", aGiven),
	check("manifest_url", "Where its manifest is.", aURL),
	check("static_pod", "Whether it is a static pod.", aBool),
}

// kubernetesFields are about the cluster.
var kubernetesFields = []field[Config]{
	idle[Config]("k3s", "A k3s server.", object(kubernetesNodeFields)),
	idle[Config]("k3s-agent", "A k3s agent.", object(kubernetesNodeFields)),
	idle[Config]("k0s", "A k0s controller.", object(kubernetesNodeFields)),
	idle[Config]("k0s-worker", "A k0s worker.", object(kubernetesNodeFields)),
	idle[Config]("p2p", "Nodes that find each other.", object(p2pFields)),
	idle[Config]("auto", "How roles are chosen; see p2p.auto.", eitherOf(object(p2pAutoFields), aBool)),
	idle[Config]("kubevip", "An address that the masters share.", object(kubevipFields)),
}
