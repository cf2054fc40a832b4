// SPDX-License-Identifier: Apache-2.0

package k0s

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.yaml.in/yaml/v3"
)

// A Config is k0s.yaml, with the keys that the stand-in uses. The others are known and
// kept as they are; a key that is neither stops the start, as in k0s.
type Config struct {
	APIVersion string         `yaml:"apiVersion" json:"apiVersion"`
	Kind       string         `yaml:"kind" json:"kind"`
	Metadata   map[string]any `yaml:"metadata" json:"metadata"`
	Spec       Spec           `yaml:"spec" json:"spec"`
}

// A Spec is the part with the settings.
type Spec struct {
	API                *API           `yaml:"api,omitempty" json:"api,omitempty"`
	ControllerManager  map[string]any `yaml:"controllerManager,omitempty" json:"controllerManager,omitempty"`
	Scheduler          map[string]any `yaml:"scheduler,omitempty" json:"scheduler,omitempty"`
	Storage            *Storage       `yaml:"storage,omitempty" json:"storage,omitempty"`
	Network            *Network       `yaml:"network,omitempty" json:"network,omitempty"`
	WorkerProfiles     []any          `yaml:"workerProfiles,omitempty" json:"workerProfiles,omitempty"`
	Telemetry          map[string]any `yaml:"telemetry,omitempty" json:"telemetry,omitempty"`
	InstallConfig      map[string]any `yaml:"installConfig,omitempty" json:"installConfig,omitempty"`
	Images             Images         `yaml:"images,omitempty" json:"images"`
	Extensions         map[string]any `yaml:"extensions,omitempty" json:"extensions,omitempty"`
	Konnectivity       map[string]any `yaml:"konnectivity,omitempty" json:"konnectivity,omitempty"`
	FeatureGates       []any          `yaml:"featureGates,omitempty" json:"featureGates,omitempty"`
	PodSecurityPolicy  map[string]any `yaml:"podSecurityPolicy,omitempty" json:"podSecurityPolicy,omitempty"`
	ControlPlaneConfig map[string]any `yaml:"controlPlane,omitempty" json:"controlPlane,omitempty"`
}

// An API is spec.api.
type API struct {
	Address         string            `yaml:"address,omitempty" json:"address,omitempty"`
	ExternalAddress string            `yaml:"externalAddress,omitempty" json:"externalAddress,omitempty"`
	OnlyBind        bool              `yaml:"onlyBindToAddress,omitempty" json:"onlyBindToAddress,omitempty"`
	Port            int               `yaml:"port,omitempty" json:"port,omitempty"`
	JoinPort        int               `yaml:"k0sApiPort,omitempty" json:"k0sApiPort,omitempty"`
	SANs            []string          `yaml:"sans,omitempty" json:"sans,omitempty"`
	ExtraArgs       map[string]string `yaml:"extraArgs,omitempty" json:"extraArgs,omitempty"`
	CA              map[string]any    `yaml:"ca,omitempty" json:"ca,omitempty"`
}

// A Storage is spec.storage.
type Storage struct {
	Type string         `yaml:"type,omitempty" json:"type,omitempty"`
	Etcd map[string]any `yaml:"etcd,omitempty" json:"etcd,omitempty"`
	Kine map[string]any `yaml:"kine,omitempty" json:"kine,omitempty"`
}

// A Network is spec.network.
type Network struct {
	Provider      string         `yaml:"provider,omitempty" json:"provider,omitempty"`
	PodCIDR       string         `yaml:"podCIDR,omitempty" json:"podCIDR,omitempty"`
	ServiceCIDR   string         `yaml:"serviceCIDR,omitempty" json:"serviceCIDR,omitempty"`
	ClusterDomain string         `yaml:"clusterDomain,omitempty" json:"clusterDomain,omitempty"`
	Calico        map[string]any `yaml:"calico,omitempty" json:"calico,omitempty"`
	KubeRouter    map[string]any `yaml:"kuberouter,omitempty" json:"kuberouter,omitempty"`
	KubeProxy     map[string]any `yaml:"kubeProxy,omitempty" json:"kubeProxy,omitempty"`
	DualStack     map[string]any `yaml:"dualStack,omitempty" json:"dualStack,omitempty"`
	ControlPlane  map[string]any `yaml:"controlPlaneLoadBalancing,omitempty" json:"controlPlaneLoadBalancing,omitempty"`
	NodeLocal     map[string]any `yaml:"nodeLocalLoadBalancing,omitempty" json:"nodeLocalLoadBalancing,omitempty"`
	Family        string         `yaml:"primaryAddressFamily,omitempty" json:"primaryAddressFamily,omitempty"`
}

// Images is spec.images; only the pause image is used.
type Images map[string]any

// NewConfig has k0s' defaults.
func NewConfig() *Config {
	return &Config{
		APIVersion: "k0s.k0sproject.io/v1beta1", Kind: "ClusterConfig", Metadata: map[string]any{"name": "k0s"},
		Spec: Spec{
			API:     &API{Port: 6443, JoinPort: 9443},
			Storage: &Storage{Type: "etcd"},
			Network: &Network{Provider: "kuberouter", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/12", ClusterDomain: "cluster.local"},
		},
	}
}

// ParseConfig reads k0s.yaml over the defaults. An unknown key is an error.
func ParseConfig(data []byte) (*Config, error) {
	c := NewConfig()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.Kind != "ClusterConfig":
		return fmt.Errorf("kind is %q, not ClusterConfig", c.Kind)
	case c.Spec.Storage.Type != "etcd" && c.Spec.Storage.Type != "kine":
		return fmt.Errorf("spec.storage.type: Unsupported value: %q: supported values: \"etcd\", \"kine\"", c.Spec.Storage.Type)
	case c.Spec.Network.Provider != "kuberouter" && c.Spec.Network.Provider != "calico" && c.Spec.Network.Provider != "custom":
		return fmt.Errorf("spec.network.provider: Unsupported value: %q: supported values: \"kuberouter\", \"calico\", \"custom\"", c.Spec.Network.Provider)
	}
	return nil
}

// pause is the image of a pod's sandbox.
func (c *Config) pause() string {
	pause, _ := c.Spec.Images["pause"].(map[string]any)
	name, _ := pause["image"].(string)
	version, _ := pause["version"].(string)
	if name == "" || version == "" {
		return "k0sproject/pause:3.10.2-0"
	}
	return name + ":" + version
}

// readConfig reads the given file, or the default one if it is there.
func readConfig(file string) (*Config, error) {
	name := file
	if name == "" {
		name = defaultConfig
	}
	data, err := os.ReadFile(name)
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return NewConfig(), nil
	}
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("parsing config from %s: %w", name, err)
	}
	return c, nil
}

// config is `k0s config create|validate`.
func (p Program) config(_ context.Context, f *flags) error {
	verb := ""
	if len(f.rest) > 0 {
		verb = f.rest[0]
	}
	switch verb {
	case "create":
		data, err := yaml.Marshal(NewConfig())
		if err != nil {
			return err
		}
		_, err = p.Out.Write(data)
		return err
	case "validate":
		_, err := readConfig(f.config)
		return err
	}
	return errors.New("k0s config: this stand-in has create and validate")
}
