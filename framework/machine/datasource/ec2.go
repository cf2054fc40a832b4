// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ec2 is the instance metadata service of Amazon EC2: version 2, which needs a
// token, or version 1.
type ec2 struct{}

func (ec2) Name() string { return "ec2" }
func (ec2) Local() bool  { return false }

// Here follows Amazon's page "Detect whether a host is an EC2 instance".
func (ec2) Here(f Facts) bool {
	id := strings.ToLower(f.DMI["product_uuid"])
	return f.DMI["sys_vendor"] == "Amazon EC2" || f.DMI["bios_vendor"] == "Amazon EC2" ||
		strings.HasPrefix(strings.ToLower(f.Hypervisor), "ec2") ||
		strings.HasPrefix(id, "ec2") && strings.Contains(strings.ToLower(f.DMI["product_version"]+f.DMI["bios_vendor"]), "amazon")
}

const (
	tokenLife   = "X-aws-ec2-metadata-token-ttl-seconds"
	tokenHeader = "X-aws-ec2-metadata-token"
)

func (ec2) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("ec2", linkLocal)
	header, err := ec2Token(ctx, m, base)
	if err != nil {
		return nil, err
	}
	get := func(path string) (string, error) {
		body, err := m.optional(ctx, base+"/latest/"+path, header)
		return strings.TrimSpace(string(body)), err
	}
	id, err := m.ask(ctx, request{url: base + "/latest/meta-data/instance-id", header: header})
	if err != nil {
		return nil, err
	}
	d := &Data{Place: base, InstanceID: strings.TrimSpace(string(id)), Encoded: true}
	if d.Hostname, err = get("meta-data/local-hostname"); err != nil {
		return nil, err
	}
	if d.Keys, err = ec2Keys(get); err != nil {
		return nil, err
	}
	d.UserData, err = m.optional(ctx, base+"/latest/user-data", header)
	return d, err
}

// ec2Token returns the header with a token; nil for a service of version 1, which
// gives none.
func ec2Token(ctx context.Context, m *Access, base string) (map[string]string, error) {
	token, err := m.ask(ctx, request{method: http.MethodPut, url: base + "/latest/api/token", header: map[string]string{tokenLife: "300"}})
	var status refused
	switch {
	case err == nil:
		return map[string]string{tokenHeader: strings.TrimSpace(string(token))}, nil
	case errors.Is(err, errMissing), errors.As(err, &status) && (status.status == http.StatusForbidden || status.status == http.StatusMethodNotAllowed || status.status == http.StatusBadRequest || status.status == http.StatusNotImplemented):
		m.log().Info("the metadata service gives no token: version 1 is asked", "error", err)
		return nil, nil
	}
	return nil, err
}

// ec2Keys reads the list of keys, with lines such as "0=name", and then each key.
func ec2Keys(get func(path string) (string, error)) ([]string, error) {
	list, err := get("meta-data/public-keys/")
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, line := range lines(list) {
		number, _, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("the list of public keys has the line %q", line)
		}
		key, err := get("meta-data/public-keys/" + number + "/openssh-key")
		if err != nil {
			return nil, err
		}
		keys = append(keys, lines(key)...)
	}
	return keys, nil
}
