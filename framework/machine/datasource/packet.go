// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"context"
)

// packet is the metadata service of Equinix Metal. Nothing identifies such a
// machine, so the service is asked only if the config or the command line names it.
type packet struct{}

func (packet) Name() string    { return "packet" }
func (packet) Local() bool     { return false }
func (packet) Here(Facts) bool { return false }

func (packet) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("packet", "https://metadata.platformequinix.com")
	var doc struct {
		ID       string   `json:"id"`
		Hostname string   `json:"hostname"`
		Keys     textList `json:"ssh_keys"`
	}
	if err := m.document(ctx, base+"/metadata", nil, &doc); err != nil {
		return nil, err
	}
	d := &Data{Place: base, InstanceID: doc.ID, Hostname: doc.Hostname, Keys: doc.Keys}
	data, err := m.optional(ctx, base+"/userdata", nil)
	if err == nil && !bytes.HasPrefix(data, []byte("#!ipxe")) { // a script for the firmware
		d.UserData = data
	}
	return d, err
}
