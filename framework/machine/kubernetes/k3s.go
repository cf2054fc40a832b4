// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/arguments"
)

// Config files of k3s.
const (
	k3sArguments  = "/etc/rancher/k3s/config.yaml.d/90-kairos.yaml"
	k3sRegistries = "/etc/rancher/k3s/registries.yaml"
)

// k3s adds the files of a server or an agent.
func (p *Plan) k3s(c *config.Config, r role, args []given) {
	secret := slices.ContainsFunc(args, func(g given) bool { return config.SecretArgument(arguments.Dashed(g.name)) })
	p.file(k3sArguments, encode(argumentsOf(args)), secret)
	if n := registriesOf(c, r); n != nil {
		p.file(k3sRegistries, encode(n), len(r.of(c).Registries.Configs) > 0)
	}
	p.dropIn(r.unit, []string{p.data, "/var/lib/kubelet", "/etc/rancher"}, nil)
	if r.key == config.K3s {
		p.manifests(p.data+"/server/manifests", r.of(c).Manifests)
		p.kubeVIP(c.KubeVIP)
	}
}

// argumentsOf are arguments as keys: an argument that is repeated is a list.
func argumentsOf(args []given) *yaml.Node {
	m := mapping()
	for _, g := range args {
		value := text(g.value)
		if !g.valued {
			value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"}
		}
		have := find(m, g.name)
		switch {
		case have == nil:
			put(m, g.name, value)
		case have.Kind == yaml.SequenceNode:
			have.Content = append(have.Content, value)
		default:
			*have = yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{new(*have), value}}
		}
	}
	return m
}

// registriesOf is registries.yaml, or nil if the config has nothing for it. The
// embedded registry serves only what is listed under mirrors: without a list, all.
func registriesOf(c *config.Config, r role) *yaml.Node {
	k := r.of(c)
	mirrors, configs := mapping(), mapping()
	for _, name := range sorted(k.Registries.Mirrors) {
		put(mirrors, name, mirrorOf(k.Registries.Mirrors[name]))
	}
	if k.EmbeddedRegistry != nil && *k.EmbeddedRegistry && len(mirrors.Content) == 0 {
		put(mirrors, "*", mapping())
	}
	for _, name := range sorted(k.Registries.Configs) {
		put(configs, name, accessOf(k.Registries.Configs[name]))
	}
	out := mapping()
	putAll(out, "mirrors", mirrors)
	putAll(out, "configs", configs)
	if len(out.Content) == 0 {
		return nil
	}
	return out
}

func mirrorOf(m config.RegistryMirror) *yaml.Node {
	out, rewrite := mapping(), mapping()
	if len(m.Endpoints) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, url := range m.Endpoints {
			list.Content = append(list.Content, text(url))
		}
		put(out, "endpoint", list)
	}
	for _, from := range sorted(m.Rewrite) {
		put(rewrite, from, text(m.Rewrite[from]))
	}
	putAll(out, "rewrite", rewrite)
	return out
}

func accessOf(a config.RegistryAccess) *yaml.Node {
	out, auth, tls := mapping(), mapping(), mapping()
	putText(auth, "username", a.Username)
	putText(auth, "password", a.Password)
	putText(auth, "auth", a.Auth)
	putText(auth, "identity_token", a.IdentityToken)
	putText(tls, "cert_file", a.CertFile)
	putText(tls, "key_file", a.KeyFile)
	putText(tls, "ca_file", a.CAFile)
	if a.InsecureSkipVerify != nil {
		put(tls, "insecure_skip_verify", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(*a.InsecureSkipVerify)})
	}
	putAll(out, "auth", auth)
	putAll(out, "tls", tls)
	return out
}

// encode is a mapping as a file.
func encode(n *yaml.Node) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(n), e.Close()); err != nil {
		panic("BUG: encoding a config file of k3s: " + err.Error())
	}
	return b.Bytes()
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

func put(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// putAll adds a mapping unless it is empty, putText a text unless it is empty.
func putAll(m *yaml.Node, key string, value *yaml.Node) {
	if len(value.Content) > 0 {
		put(m, key, value)
	}
}

func putText(m *yaml.Node, key, value string) {
	if value != "" {
		put(m, key, text(value))
	}
}

func find(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}
