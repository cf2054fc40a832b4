// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/framework/upgrade"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A NewPolicy is a policy that is made from public keys.
type NewPolicy struct {
	Keys         []NamedKey
	Repositories []string // of all keys; none: everywhere
	Tested       bool     // a test result is required
}

// A NamedKey is a public key as text, and the name of its file.
type NamedKey struct {
	Name string
	PEM  []byte
}

// Encode returns the policy, or a cloud-config that writes it at each boot.
func (o NewPolicy) Encode(cloudConfig bool) ([]byte, error) {
	var p policy.Policy
	for _, k := range o.Keys {
		keys, err := verify.ParseKeys(k.PEM)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		for _, key := range keys {
			p.Keys = append(p.Keys, policy.Key{Name: filepath.Base(k.Name), Key: key, Repositories: o.Repositories})
		}
	}
	if o.Tested {
		p.Require = []policy.Requirement{{Name: "tested", Type: policy.TypeTested}}
	}
	data, err := p.Encode("")
	if err != nil {
		return nil, err
	}
	if _, err := policy.Parse("the new policy", data, nil); err != nil {
		return nil, err
	}
	if !cloudConfig {
		return data, nil
	}
	return asCloudConfig(data)
}

// asCloudConfig returns a cloud-config that writes the policy.
func asCloudConfig(data []byte) ([]byte, error) {
	type file struct {
		Path        string `yaml:"path"`
		Permissions string `yaml:"permissions"`
		Content     string `yaml:"content"`
	}
	var b bytes.Buffer
	b.WriteString("#cloud-config\n")
	out := yaml.NewEncoder(&b)
	out.SetIndent(2)
	err := out.Encode(map[string][]file{"write_files": {{layout.ImagePolicy, "0644", string(data)}}})
	return b.Bytes(), err
}

// CheckImage says why this node trusts an image, and what its digest is. It writes nothing.
func (n *Node) CheckImage(ctx context.Context, ref string, o source.Options) (reasons []string, digest string, err error) {
	n.configNow() // for the proxy
	image, err := source.Resolve(ctx, ref, o)
	if err != nil {
		return nil, "", err
	}
	hash, err := image.Digest()
	if err != nil {
		return nil, "", err
	}
	var to upgrade.Installation
	for _, text := range n.trusting(&to) {
		fmt.Fprintln(n.Stderr, "kairos: "+text)
	}
	reasons, err = to.Verifier.Verify(ctx, image)
	return reasons, hash.String(), err
}
