// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// openStack is the metadata service of OpenStack's compute service.
type openStack struct{}

func (openStack) Name() string { return "openstack" }
func (openStack) Local() bool  { return false }

// Here checks the names that cloud-init's ds-identify checks.
func (openStack) Here(f Facts) bool {
	tag := f.DMI["chassis_asset_tag"]
	return strings.HasPrefix(f.DMI["product_name"], "OpenStack") ||
		slices.Contains([]string{"OpenTelekomCloud", "SAP CCloud VM", "HUAWEICLOUD", "OpenStack Nova", "OpenStack Compute"}, tag)
}

func (openStack) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("openstack", linkLocal)
	d, err := novaData(func(name string) ([]byte, error) { return m.optional(ctx, base+"/openstack/latest/"+name, nil) })
	if d != nil {
		d.Place = base
	}
	return d, err
}

func sortedValues(from map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		out = append(out, lines(from[name])...)
	}
	return out
}
