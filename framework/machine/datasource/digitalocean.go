// SPDX-License-Identifier: Apache-2.0

package datasource

import "context"

// digitalOcean is the metadata service of DigitalOcean.
type digitalOcean struct{}

func (digitalOcean) Name() string      { return "digitalocean" }
func (digitalOcean) Local() bool       { return false }
func (digitalOcean) Here(f Facts) bool { return f.DMI["sys_vendor"] == "DigitalOcean" }

func (digitalOcean) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("digitalocean", linkLocal)
	var doc struct {
		ID       anyText  `json:"droplet_id"`
		Hostname string   `json:"hostname"`
		UserData string   `json:"user_data"`
		Keys     textList `json:"public_keys"`
	}
	if err := m.document(ctx, base+"/metadata/v1.json", nil, &doc); err != nil {
		return nil, err
	}
	return &Data{Place: base, InstanceID: string(doc.ID), Hostname: doc.Hostname, Keys: doc.Keys, UserData: []byte(doc.UserData)}, nil
}
