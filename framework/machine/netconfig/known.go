// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v3"
)

// rootKeys are the root keys of a network-config. The keys in telling identify a
// file as one: no cloud-config has them.
var (
	telling  = []string{"config", "ethernets", "bonds", "bridges", "vlans", "wifis"}
	rootKeys = append([]string{"version", "renderer", "tunnels", "modems", "vrfs", "dummy-devices", "nm-devices", "openvswitch", "virtual-ethernets"}, telling...)
)

// Is tells from its keys whether data is a network-config. They may be below the
// key "network", as in netplan, unless the file begins with #cloud-config: a
// cloud-config may have that key too.
func Is(data []byte) bool {
	keys, inner := keysOf(data)
	if len(keys) == 1 && keys[0] == "network" && !bytes.HasPrefix(data, []byte("#cloud-config")) {
		keys = inner
	}
	known := func(key string) bool { return slices.Contains(rootKeys, key) }
	tells := func(key string) bool { return slices.Contains(telling, key) }
	return slices.ContainsFunc(keys, tells) && (slices.Contains(keys, "version") || !slices.ContainsFunc(keys, func(key string) bool { return !known(key) }))
}

// keysOf returns the keys of the root mapping and of the mapping below "network".
// It returns none if data is not YAML.
func keysOf(data []byte) (root, inner []string) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return nil, nil
	}
	root = mappingKeys(doc.Content[0])
	if i := slices.Index(root, "network"); i >= 0 {
		inner = mappingKeys(doc.Content[0].Content[2*i+1])
	}
	return root, inner
}

func mappingKeys(n *yaml.Node) []string {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var keys []string
	for i := 0; i < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i].Value)
	}
	return keys
}
