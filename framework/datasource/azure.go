// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
)

// azureTag is the asset tag of the chassis of every machine of Azure.
const azureTag = "7783-7084-3265-9085-8269-3286-77"

// azureDisk is the CD-ROM with ovf-env.xml that Azure, and other hypervisors
// with OVF, give to a new machine.
type azureDisk struct{}

func (azureDisk) Name() string    { return "azure-disk" }
func (azureDisk) Local() bool     { return true }
func (azureDisk) Here(Facts) bool { return true }

const ovfFile = "ovf-env.xml"

// Fetch looks at CD-ROMs only: the name of the file is all that tells.
func (azureDisk) Fetch(ctx context.Context, m *Machine) (*Data, error) {
	return m.withVolume(ctx, func(v *volume) bool { return strings.HasPrefix(v.device, "/dev/sr") }, func(v *volume) (*Data, error) {
		raw, err := v.read(ovfFile)
		if err != nil || raw == nil {
			return nil, ErrNone // any CD-ROM may be in the drive
		}
		return ovfData(raw)
	})
}

// ovfData reads the provisioning section of Azure, and the properties that
// other makers of OVF use.
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
	data, err := unbase64(text)
	if err != nil {
		return nil, fmt.Errorf("the user data in %s: %w", ovfFile, err)
	}
	d.UserData = data
	return d, nil
}

var errNotBase64 = errors.New("it is not base64")

// unbase64 decodes base64 with line breaks in it.
func unbase64(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errNotBase64
	}
	return data, nil
}

// azure is the instance metadata service of Azure.
type azure struct{}

func (azure) Name() string      { return "azure" }
func (azure) Local() bool       { return false }
func (azure) Here(f Facts) bool { return f.DMI["chassis_asset_tag"] == azureTag }

const azurePath = "/metadata/instance?api-version=2021-02-01"

func (azure) Fetch(ctx context.Context, m *Machine) (*Data, error) {
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
	data, err := unbase64(text)
	if err != nil {
		return nil, fmt.Errorf("the user data of %s: %w", base, err)
	}
	d.UserData = data
	return d, nil
}
