// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

func sorted(flags map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return args
}

// NodeFiles writes the configuration of kubelet, containerd and the CNI plugins.
func (o Options) NodeFiles() error {
	for _, dir := range []string{o.Static, o.ConfigDirs, o.Kubelet, o.Runtime, filepath.Dir(o.Socket())} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := o.kubeletConfig(); err != nil {
		return err
	}
	if err := o.containerdConfig(); err != nil {
		return err
	}
	return o.cniConfig()
}

func (o Options) kubeletConfig() error {
	serving := pair(o.Agent, "serving-kubelet")
	config := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": o.tls("client-ca").Cert},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"cgroupDriver":             "systemd",
		"clusterDNS":               []string{o.DNS},
		"clusterDomain":            o.Domain,
		"containerRuntimeEndpoint": "unix://" + o.Socket(),
		"failSwapOn":               false,
		"registerWithTaints":       taints(o.Taints),
		"staticPodPath":            o.Static,
		"tlsCertFile":              serving.Cert,
		"tlsPrivateKeyFile":        serving.Key,
	}
	if o.Resolv != "" {
		config["resolvConf"] = o.Resolv
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(o.agent("kubelet.yaml"), data, 0o600)
}

// taints turns key=value:effect into what the kubelet reads.
func taints(list []string) []map[string]string {
	var all []map[string]string
	for _, text := range list {
		rest, effect := cutLast(text, ":")
		key, value := cutLast(rest, "=")
		all = append(all, map[string]string{"key": key, "value": value, "effect": effect})
	}
	return all
}

func cutLast(text, separator string) (before, after string) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i+len(separator):]
}

var containerdTemplate = template.Must(template.New("containerd.toml").Parse(`version = 3
root = "{{.Runtime}}"
state = "{{.Run}}/containerd"

[grpc]
  address = "{{.Socket}}"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{{.Pause}}"

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{{.CNI}}"]
  conf_dir = "{{.CNIConfig}}"

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{{.Programs}}/runc"
      SystemdCgroup = true
`))

func (o Options) containerdConfig() error {
	var b bytes.Buffer
	if err := containerdTemplate.Execute(&b, o); err != nil {
		return err
	}
	return os.WriteFile(o.agent("containerd.toml"), b.Bytes(), 0o600)
}

// cniConfig makes a bridge of one node. Pods of two nodes do not reach each other.
func (o Options) cniConfig() error {
	if o.CNIConfig == "" {
		return nil
	}
	if err := os.MkdirAll(o.CNIConfig, 0o755); err != nil {
		return err
	}
	config := map[string]any{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []any{
			map[string]any{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": map[string]any{
					"type":   "host-local",
					"ranges": []any{[]any{map[string]string{"subnet": firstSubnet(o.Pods)}}},
					"routes": []any{map[string]string{"dst": "0.0.0.0/0"}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.CNIConfig, "10-bridge.conflist"), append(data, '\n'), 0o644)
}

// firstSubnet is the part of the pods' network that the controller manager gives to
// the first node.
func firstSubnet(network string) string {
	address := firstAddress(network)
	return fmt.Sprintf("%s0/24", address[:len(address)-1])
}
