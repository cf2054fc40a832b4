// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// Datasource tells a step to fetch user data from the first of some providers
// that has it.
type Datasource struct {
	Providers []string
	// Path is a directory, or a file that ends in .yaml or .yml, for the user
	// data. With the provider "file" it is the source instead. Empty: the place
	// of the node's own datasource.
	Path string
	Name string // of the file in the directory Path; default userdata.yaml
}

// configURL is a URL of a config. It may hold a secret, and is not shown.
func (v value) configURL() (string, bool) {
	s, ok := v.NonEmpty()
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		v.Fail("not a URL that can be fetched", "write it such as https://example.org/node.yaml")
		return "", false
	}
	return s, true
}

// providers are those of Kairos and of framework/machine/datasource.
var providers = []string{
	"aws", "azure", "cdrom", "cidata", "config-drive", "configdrive", "digitalocean", "ec2", "equinix", "file",
	"firmware", "gce", "gcp", "hetzner", "metaldata", "nocloud", "nocloud-net", "openstack", "ovf", "packet", "qemu", "seed", "vultr",
}

// laterProviders are known and not implemented.
var laterProviders = []string{"maas", "scaleway", "vmware"}

var datasourceFields = []field[Datasource]{
	{name: "providers", decode: func(v value, d *Datasource) { d.Providers = v.providers() }},
	{name: "path", decode: func(v value, d *Datasource) { set(v, &d.Path, value.absolute) }},
	{name: "userdata_name", decode: func(v value, d *Datasource) { set(v, &d.Name, value.fileName) }},
}

func decodeDatasource(v value, s *Step) {
	pairs := decodeMap(v, datasourceFields, &s.Datasource)
	if v.requires(pairs, "providers") && slices.Contains(s.Datasource.Providers, "file") && s.Datasource.Path == "" {
		v.Fail("the provider \"file\" needs a path", `add "path:", the file with the user data`)
	}
}

func (v value) providers() []string {
	var out []string
	for _, item := range v.list("providers") {
		name, ok := item.NonEmpty()
		switch {
		case !ok:
		case slices.Contains(laterProviders, name):
			item.Later("the provider " + name)
		case slices.Contains(providers, name):
			out = append(out, name)
		default:
			item.unknownProvider(name)
		}
	}
	return out
}

func (v value) unknownProvider(name string) {
	suggestion := "use " + strings.Join(providers, ", ")
	if near := nearest.Word(name, providers); near != "" {
		suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	v.Fail(fmt.Sprintf("unknown provider %q", strict.Printable(name)), suggestion)
}
