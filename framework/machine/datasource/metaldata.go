// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"strings"
)

// metaldata is the metadata service of the same name, which Kairos supports. It is
// asked only if the config or the command line names it.
type metaldata struct{}

func (metaldata) Name() string    { return "metaldata" }
func (metaldata) Local() bool     { return false }
func (metaldata) Here(Facts) bool { return false }

func (metaldata) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("metaldata", "http://metaldata")
	name, err := m.ask(ctx, request{url: base + "/get/meta/hostname"})
	if err != nil {
		return nil, err
	}
	d := &Data{Place: base, Hostname: strings.TrimSpace(string(name))}
	id, err := m.optional(ctx, base+"/get/meta/machine-id", nil)
	if err != nil {
		return nil, err
	}
	d.InstanceID = strings.TrimSpace(string(id))
	keys, err := m.optional(ctx, base+"/get/meta/authorized-keys", nil)
	if err != nil {
		return nil, err
	}
	d.Keys = lines(string(keys))
	d.UserData, err = m.optional(ctx, base+"/get/user", nil)
	return d, err
}
