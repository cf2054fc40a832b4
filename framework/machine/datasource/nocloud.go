// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// noCloud is a CD-ROM or disk with the label cidata, as Proxmox, libvirt and VMware
// make it, with the files user-data, meta-data and network-config.
type noCloud struct{}

func (noCloud) Name() string    { return "nocloud" }
func (noCloud) Local() bool     { return true }
func (noCloud) Here(Facts) bool { return true }

func (noCloud) Fetch(ctx context.Context, m *Access) (*Data, error) {
	return m.withLabel(ctx, []string{"cidata"}, func(v *volume) (*Data, error) { return seedData(v.read) })
}

// seedData reads the files of NoCloud; read returns nil for a missing one.
func seedData(read func(name string) ([]byte, error)) (*Data, error) {
	meta, err := read("meta-data")
	if err != nil {
		return nil, err
	}
	d := &Data{}
	if err := d.metaData(meta); err != nil {
		return nil, err
	}
	if d.UserData, err = read("user-data"); err != nil {
		return nil, err
	}
	if d.NetworkConfig, err = read("network-config"); err != nil {
		return nil, err
	}
	if vendor, err := read("vendor-data"); err == nil && len(vendor) > 0 {
		d.Notes = append(d.Notes, "vendor-data is not used")
	}
	return d, nil
}

// metaData reads the keys that we use from NoCloud's meta-data. Unknown keys are
// no error: each platform adds its own.
func (d *Data) metaData(data []byte) error {
	var meta struct {
		InstanceID    yaml.Node `yaml:"instance-id"`
		LocalHostname string    `yaml:"local-hostname"`
		Hostname      string    `yaml:"hostname"`
		Keys          yaml.Node `yaml:"public-keys"`
		OtherKeys     yaml.Node `yaml:"public_keys"`
		Interfaces    string    `yaml:"network-interfaces"`
	}
	if err := yaml.Unmarshal(data, &meta); err != nil {
		return fmt.Errorf("meta-data is not valid: %w", err)
	}
	d.InstanceID, d.Hostname = meta.InstanceID.Value, meta.LocalHostname
	if d.Hostname == "" {
		d.Hostname = meta.Hostname
	}
	d.Keys = append(scalars(&meta.Keys), scalars(&meta.OtherKeys)...)
	if meta.Interfaces != "" {
		d.Notes = append(d.Notes, "network-interfaces of meta-data is not implemented; use network-config")
	}
	return nil
}

// scalars returns the texts below a node: SSH keys come as one text, as a list, or
// as mappings by name.
func scalars(n *yaml.Node) []string {
	switch n.Kind {
	case yaml.ScalarNode:
		return lines(n.Value)
	case yaml.SequenceNode:
		var out []string
		for _, below := range n.Content {
			out = append(out, scalars(below)...)
		}
		return out
	case yaml.MappingNode:
		var out []string
		for i := 1; i < len(n.Content); i += 2 {
			out = append(out, scalars(n.Content[i])...)
		}
		return out
	}
	return nil
}

// seed is a directory with NoCloud's files: ds=nocloud;s=file:///path/ on the
// kernel command line or in the machine's serial number.
type seed struct{}

func (seed) Name() string      { return "seed" }
func (seed) Local() bool       { return true }
func (seed) Here(f Facts) bool { return f.Seed != nil && f.Seed.dir() != "" }

func (s *Seed) dir() string {
	if dir, ok := strings.CutPrefix(s.URL, "file://"); ok {
		return dir
	}
	if strings.HasPrefix(s.URL, "/") {
		return s.URL
	}
	return ""
}

func (seed) Fetch(_ context.Context, m *Access) (*Data, error) {
	f := ReadFacts(m.FS)
	if f.Seed == nil || f.Seed.dir() == "" {
		return nil, ErrNone
	}
	dir := f.Seed.dir()
	d, err := seedData(func(name string) ([]byte, error) {
		data, err := fs.ReadFile(m.FS, strings.TrimPrefix(path.Join(dir, name), "/"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return data, err
	})
	if err != nil {
		return nil, err
	}
	d.Place = dir
	f.Seed.fill(d)
	return d, nil
}

// fill adds the host name and instance id if the meta-data has none.
func (s *Seed) fill(d *Data) {
	if d.Hostname == "" {
		d.Hostname = s.Hostname
	}
	if d.InstanceID == "" {
		d.InstanceID = s.InstanceID
	}
}

// seedURL is a web server with NoCloud's files: ds=nocloud;s=http://….
type seedURL struct{}

func (seedURL) Name() string      { return "nocloud-net" }
func (seedURL) Local() bool       { return false }
func (seedURL) Here(f Facts) bool { return f.Seed != nil && isHTTP(f.Seed.URL) }

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

func (seedURL) Fetch(ctx context.Context, m *Access) (*Data, error) {
	f := ReadFacts(m.FS)
	if f.Seed == nil || !isHTTP(f.Seed.URL) {
		return nil, ErrNone
	}
	d, err := seedData(func(name string) ([]byte, error) { return m.optional(ctx, f.Seed.URL+name, nil) })
	if err != nil {
		return nil, err
	}
	d.Place = fetch.Shown(f.Seed.URL)
	f.Seed.fill(d)
	return d, nil
}
