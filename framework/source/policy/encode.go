// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

type document struct {
	Format     int        `yaml:"format"`
	Keys       []keyYAML  `yaml:"keys,omitempty"`
	Identities []ownerDoc `yaml:"identities,omitempty"`
	Root       string     `yaml:"trusted_root,omitempty"`
	Require    []needed   `yaml:"require,omitempty"`
	MaxAge     string     `yaml:"max_age,omitempty"`
}

type keyYAML struct {
	Name         string   `yaml:"name,omitempty"`
	PEM          string   `yaml:"pem"`
	Repositories []string `yaml:"repositories,omitempty"`
}

type ownerDoc struct {
	Issuer       string   `yaml:"issuer"`
	Subject      string   `yaml:"subject"`
	Repositories []string `yaml:"repositories,omitempty"`
}

type needed struct {
	Type   string `yaml:"type"`
	MaxAge string `yaml:"max_age,omitempty"`
}

// Encode returns the policy as a file that Parse reads. All keys are in it; the trusted root
// is the file at the path root, which Encode does not write.
func (p *Policy) Encode(root string) ([]byte, error) {
	d := document{Format: Format, MaxAge: inDays(p.MaxAge)}
	if len(p.Root) > 0 {
		d.Root = root
	}
	for _, k := range p.Keys {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.Name, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		d.Keys = append(d.Keys, keyYAML{k.Name, string(text), slices.Clone(k.Repositories)})
	}
	for _, i := range p.Identities {
		d.Identities = append(d.Identities, ownerDoc{i.Issuer, i.Subject, slices.Clone(i.Repositories)})
	}
	for _, r := range p.Require {
		d.Require = append(d.Require, needed{r.Name, inDays(r.MaxAge)})
	}
	var b bytes.Buffer
	out := yaml.NewEncoder(&b)
	out.SetIndent(2)
	if err := out.Encode(d); err != nil {
		return nil, fmt.Errorf("writing a policy: %w", err)
	}
	return b.Bytes(), nil
}

func inDays(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%dd", int(d/day))
}
