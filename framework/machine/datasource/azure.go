// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/config/userdata"
)

// azureTag is the chassis asset tag of every Azure machine.
const azureTag = "7783-7084-3265-9085-8269-3286-77"

// azure is the instance metadata service of Azure.
type azure struct{}

func (azure) Name() string      { return "azure" }
func (azure) Local() bool       { return false }
func (azure) Here(f Facts) bool { return f.DMI["chassis_asset_tag"] == azureTag }

const azurePath = "/metadata/instance?api-version=2021-02-01"

func (azure) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("azure", linkLocal)
	var doc struct {
		Compute struct {
			ID         string `json:"vmId"`
			Name       string `json:"name"`
			UserData   string `json:"userData"`
			CustomData string `json:"customData"`
			Profile    struct {
				Hostname string `json:"computerName"`
			} `json:"osProfile"`
			Keys []struct {
				Data string `json:"keyData"`
			} `json:"publicKeys"`
		} `json:"compute"`
	}
	if err := m.document(ctx, base+azurePath, map[string]string{"Metadata": "true"}, &doc); err != nil {
		return nil, err
	}
	c := doc.Compute
	d := &Data{Place: base, InstanceID: c.ID, Hostname: c.Profile.Hostname}
	if d.Hostname == "" {
		d.Hostname = c.Name
	}
	for _, k := range c.Keys {
		d.Keys = append(d.Keys, lines(k.Data)...)
	}
	text := c.UserData
	if text == "" {
		text = c.CustomData
	}
	data, err := userdata.Unbase64(text)
	if err != nil {
		return nil, fmt.Errorf("the user data of %s: %w", base, err)
	}
	d.UserData = data
	return d, nil
}
