// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// ErrNoRole says that the config makes the node no member of a cluster.
var ErrNoRole = errors.New(noRole)

// A Member is what the config makes of a node in its cluster.
type Member struct {
	Role    string          `json:"role"`    // the key of the config, such as k3s-agent
	Unit    string          `json:"unit"`    // of systemd
	Version release.Version `json:"-"`       // of the image
	Data    string          `json:"data"`    // the data directory
	Server  bool            `json:"server"`  // it runs an API server
	Kubelet bool            `json:"kubelet"` // it runs pods, and is a node of the cluster
	// External says that the datastore is not on this node: --datastore-endpoint.
	External bool `json:"external"`
	// NodeName is the name that the config gives the node; empty if it gives none.
	NodeName string `json:"nodeName,omitempty"`
	// Kubeconfigs are files with a way to the API, the best one first. Those of the kubelet
	// name the node.
	Kubeconfigs []string `json:"kubeconfigs"`
}

// MemberOf returns what a config makes of a node with this image. A config with an error
// starts no role: the error says which. Without a role it is ErrNoRole.
func MemberOf(c *config.Config, image Image) (Member, error) {
	on := enabled(c)
	if len(on) == 0 {
		return Member{}, ErrNoRole
	}
	if problems := Check(c, &image).Only(config.Error); len(problems) > 0 {
		return Member{}, errors.New(problems[0].Error())
	}
	r := on[0]
	args, _ := r.arguments(c, &image) // Check has reported the problems
	m := Member{Role: r.key, Unit: r.unit, Version: image.Version, Data: r.dataDir(c, args), NodeName: last(args, "node-name")}
	if m.NodeName == "" {
		m.NodeName = r.envOf(c, "K3S_NODE_NAME")
	}
	m.NodeName = strings.ToLower(m.NodeName)
	m.External = last(args, "datastore-endpoint") != "" || r.envOf(c, "K3S_DATASTORE_ENDPOINT") != ""
	m.Server, m.Kubelet = r.key == config.K3s || r.key == config.K0s, r.runsPods(args)
	m.Kubeconfigs = m.kubeconfigs(args)
	return m, nil
}

// Member is MemberOf for the node itself, whose config was merged from files. It also finds
// what Run refuses besides: mistakes that hide the role, and unknown keys in other config
// files of k3s.
func (m *Machine) Member(c *config.Config, files []config.File, image Image) (Member, error) {
	if hidden := lost(files); len(hidden) > 0 {
		return Member{}, lostError(hidden[0])
	}
	member, err := MemberOf(c, image)
	if err != nil {
		return Member{}, err
	}
	p, _ := Make(c, image) // MemberOf has found no error
	if problems := m.checkFiles(p, image).Only(config.Error); len(problems) > 0 {
		return Member{}, errors.New(problems[0].Error())
	}
	return member, nil
}

func (r role) runsPods(args []given) bool {
	switch r.key {
	case config.K3s:
		return !isOn(args, "disable-agent")
	case config.K0s:
		return isOn(args, "enable-worker") || isOn(args, "single")
	}
	return true
}

// kubeconfigs lists files that the distribution writes. Only a node with a kubelet has
// that of the kubelet, or has an old one.
func (m Member) kubeconfigs(args []given) (files []string) {
	if m.Version.Distribution() == release.K3s {
		if m.Kubelet {
			files = append(files, m.Data+"/agent/kubelet.kubeconfig")
		}
		if m.Server {
			admin := last(args, "write-kubeconfig", "o")
			if !path.IsAbs(admin) {
				admin = "/etc/rancher/k3s/k3s.yaml"
			}
			files = append(files, admin)
		}
		return files
	}
	if m.Kubelet {
		files = append(files, m.Data+"/kubelet.conf")
	}
	if m.Server {
		files = append(files, m.Data+"/pki/admin.conf")
	}
	return files
}

// last is the value of the last argument with one of the names.
func last(args []given, names ...string) (value string) {
	for _, g := range args {
		if slices.Contains(names, g.name) {
			value = g.value
		}
	}
	return value
}

// isOn tells whether a switch is given, the last one counts.
func isOn(args []given, name string) (on bool) {
	for _, g := range args {
		if g.name == name {
			on = !g.valued || g.value == "true" || g.value == "1"
		}
	}
	return on
}

// envOf is a variable of the role.
func (r role) envOf(c *config.Config, name string) (value string) {
	for _, s := range r.of(c).Env {
		if s.Name == name {
			value = s.Value.Text
		}
	}
	return value
}
