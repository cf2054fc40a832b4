// SPDX-License-Identifier: Apache-2.0

package datasource

import "context"

// hetzner is the metadata service of Hetzner Cloud: meta-data in YAML.
type hetzner struct{}

func (hetzner) Name() string      { return "hetzner" }
func (hetzner) Local() bool       { return false }
func (hetzner) Here(f Facts) bool { return f.DMI["sys_vendor"] == "Hetzner" }

func (hetzner) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("hetzner", linkLocal)
	meta, err := m.ask(ctx, request{url: base + "/hetzner/v1/metadata"})
	if err != nil {
		return nil, err
	}
	d := &Data{Place: base, Encoded: true}
	if err := d.metaData(meta); err != nil {
		return nil, err
	}
	d.UserData, err = m.optional(ctx, base+"/hetzner/v1/userdata", nil)
	return d, err
}
