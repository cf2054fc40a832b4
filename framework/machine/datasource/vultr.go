// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"cmp"
	"context"
)

// vultr is the metadata service of Vultr.
type vultr struct{}

func (vultr) Name() string      { return "vultr" }
func (vultr) Local() bool       { return false }
func (vultr) Here(f Facts) bool { return f.DMI["sys_vendor"] == "Vultr" }

func (vultr) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("vultr", linkLocal)
	var doc struct {
		ID       anyText  `json:"instance-v2-id"`
		OldID    anyText  `json:"instanceid"`
		Hostname string   `json:"hostname"`
		UserData string   `json:"user-data"`
		Keys     textList `json:"public-keys"`
	}
	if err := m.document(ctx, base+"/v1.json", map[string]string{"Metadata-Token": "vultr"}, &doc); err != nil {
		return nil, err
	}
	d := &Data{Place: base, InstanceID: string(cmp.Or(doc.ID, doc.OldID)), Hostname: doc.Hostname, Keys: doc.Keys, UserData: []byte(doc.UserData), Encoded: true}
	if len(d.UserData) > 0 {
		return d, nil
	}
	// On older machines the user data has the same path as on EC2.
	var err error
	d.UserData, err = m.optional(ctx, base+"/latest/user-data", nil)
	return d, err
}
