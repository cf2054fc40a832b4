// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v3"
)

// rootKeys are those of a network-config; telling are the ones that say by
// themselves that a file is one. A cloud-config has none of them.
var (
	telling  = []string{"config", "ethernets", "bonds", "bridges", "vlans", "wifis"}
	rootKeys = append([]string{"version", "renderer", "tunnels", "modems", "vrfs", "dummy-devices", "nm-devices", "openvswitch", "virtual-ethernets"}, telling...)
)

// Is tells whether data is a network-config, by its keys, and whether it is
// below the key "network", as netplan has it. A file that says of itself that it
// is a cloud-config may have that key too, so it is none.
func Is(data []byte) bool {
	keys, inner := keysOf(data)
	if len(keys) == 1 && keys[0] == "network" && !bytes.HasPrefix(data, []byte("#cloud-config")) {
		keys = inner
	}
	known := func(key string) bool { return slices.Contains(rootKeys, key) }
	tells := func(key string) bool { return slices.Contains(telling, key) }
	return slices.ContainsFunc(keys, tells) && (slices.Contains(keys, "version") || !slices.ContainsFunc(keys, func(key string) bool { return !known(key) }))
}

// keysOf are the keys of the root mapping and those of the mapping below
// "network". What is no YAML has none.
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
