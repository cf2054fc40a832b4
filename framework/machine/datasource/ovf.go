// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config/userdata"
)

// ovf is a CD-ROM with ovf-env.xml. Azure and hypervisors with the Open
// Virtualization Format attach it to a new machine.
type ovf struct{}

func (ovf) Name() string    { return "ovf" }
func (ovf) Local() bool     { return true }
func (ovf) Here(Facts) bool { return true }

const ovfFile = "ovf-env.xml"

// Fetch looks at CD-ROMs only: nothing but the file name identifies the medium.
func (ovf) Fetch(ctx context.Context, m *Access) (*Data, error) {
	return m.withVolume(ctx, func(v *volume) bool { return strings.HasPrefix(v.device, "/dev/sr") }, func(v *volume) (*Data, error) {
		raw, err := v.read(ovfFile)
		if err != nil || raw == nil {
			return nil, ErrNone // any CD-ROM may be in the drive
		}
		return ovfData(raw)
	})
}

// ovfData reads Azure's provisioning section, and the properties that other OVF
// platforms use.
func ovfData(raw []byte) (*Data, error) {
	var env struct {
		ID     string `xml:"id,attr"`
		Wanted struct {
			Hostname   string `xml:"HostName"`
			CustomData string `xml:"CustomData"`
			UserData   string `xml:"UserData"`
			Keys       []struct {
				Value string `xml:"Value"`
			} `xml:"SSH>PublicKeys>PublicKey"`
		} `xml:"ProvisioningSection>LinuxProvisioningConfigurationSet"`
		Properties []struct {
			Key   string `xml:"key,attr"`
			Value string `xml:"value,attr"`
		} `xml:"PropertySection>Property"`
	}
	in := xml.NewDecoder(bytes.NewReader(raw))
	if err := in.Decode(&env); err != nil {
		return nil, fmt.Errorf("%s is not valid XML", ovfFile)
	}
	d := &Data{InstanceID: env.ID, Hostname: env.Wanted.Hostname}
	for _, k := range env.Wanted.Keys {
		d.Keys = append(d.Keys, lines(k.Value)...)
	}
	text := env.Wanted.CustomData
	if text == "" {
		text = env.Wanted.UserData
	}
	for _, p := range env.Properties {
		switch p.Key {
		case "instance-id":
			d.InstanceID = p.Value
		case "hostname":
			d.Hostname = p.Value
		case "public-keys":
			d.Keys = append(d.Keys, lines(p.Value)...)
		case "user-data":
			text = p.Value
		}
	}
	data, err := userdata.Unbase64(text)
	if err != nil {
		return nil, fmt.Errorf("the user data in %s: %w", ovfFile, err)
	}
	d.UserData = data
	return d, nil
}
