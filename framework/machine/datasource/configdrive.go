// SPDX-License-Identifier: Apache-2.0

package datasource

import "context"

// configDrive is OpenStack's config drive: a disk or CD-ROM with the label config-2.
type configDrive struct{}

func (configDrive) Name() string    { return "config-drive" }
func (configDrive) Local() bool     { return true }
func (configDrive) Here(Facts) bool { return true }

func (configDrive) Fetch(ctx context.Context, m *Access) (*Data, error) {
	return m.withLabel(ctx, []string{"config-2"}, func(v *volume) (*Data, error) {
		return novaData(func(name string) ([]byte, error) { return v.read("openstack/latest/" + name) })
	})
}

// novaData reads the files of OpenStack's compute service, from a disk or by HTTP
// (https://docs.openstack.org/nova/latest/user/metadata.html).
func novaData(read func(name string) ([]byte, error)) (*Data, error) {
	raw, err := read("meta_data.json")
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, ErrNone
	}
	var meta struct {
		UUID     string            `json:"uuid"`
		Hostname string            `json:"hostname"`
		Name     string            `json:"name"`
		Keys     map[string]string `json:"public_keys"`
	}
	if err := decodeJSON("meta_data.json", raw, &meta); err != nil {
		return nil, err
	}
	d := &Data{InstanceID: meta.UUID, Hostname: meta.Hostname, Keys: sortedValues(meta.Keys)}
	if d.Hostname == "" {
		d.Hostname = meta.Name
	}
	if d.UserData, err = read("user_data"); err != nil {
		return nil, err
	}
	network, err := read("network_data.json")
	if len(network) > 0 {
		d.Notes = append(d.Notes, "network_data.json is not implemented: ports get their addresses by DHCP")
	}
	return d, err
}
