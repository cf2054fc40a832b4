// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/cluster/clustertest"
	"github.com/kairos-build/kairos-build/framework/upgrade"
)

// TestAgainstData: recovery has an old image, and what counts is whose data the node has.
func TestAgainstData(t *testing.T) {
	for _, c := range []struct {
		name, record, image string
		is                  error
		says                string
	}{
		{"the image of the data", "v1.35.1+k3s1", "v1.35.1+k3s1", nil, ""},
		{"the next one", "v1.35.1+k3s1", "v1.36.1+k3s1", nil, ""},
		{"the next one of recovery", "v1.35.1+k3s1", "v1.32.1+k3s1", upgrade.ErrDowngrade, "its Kubernetes is v1.32.1+k3s1, the node has v1.35.1+k3s1"},
		{"one is left out", "v1.35.1+k3s1", "v1.37.1+k3s1", upgrade.ErrUnfit, "upgrade to an image with v1.36 first"},
		{"data of another distribution", "v1.35.1+k0s.0", "v1.32.1+k3s1", nil, ""},
		{"a damaged record", "no", "v1.32.1+k3s1", upgrade.ErrUnfit, "which Kubernetes the data of this node are of is not known: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := withK3s(t)
			put(t, dir, layout.ImageKubernetes[1:], "v1.31.1+k3s1\n")
			put(t, dir, "var/lib/rancher/k3s/kairos/record.json", `{"release": "`+c.record+`", "highest": "`+c.record+`"}`)
			n := &Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler)}
			merged, _ := config.Decode("a", []byte("k3s: {enabled: true}\n"))
			got := errors.Join(n.against(t.Context(), config.Merge(merged), c.image)...)
			if !errors.Is(got, c.is) || got != nil && !strings.Contains(got.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", got, c.is, c.says)
			}
		})
	}
}

// TestAgainst: which Kubernetes an image must not have.
func TestAgainst(t *testing.T) {
	const server, agent = "k3s: {enabled: true}\n", "k3s-agent: {enabled: true, args: [--server=https://a]}\n"
	for _, c := range []struct {
		name, config, image string
		api                 string // the version of the API server; empty: it does not answer
		is                  error
		says                string
	}{
		{"a patch", server, "v1.34.2+k3s1", "", nil, ""},
		{"back a patch", server, "v1.34.0+k3s1", "", nil, ""},
		{"the next minor version", server, "v1.35.0+k3s1", "", nil, ""},
		{"a minor version is left out", server, "v1.36.1+k3s1", "", upgrade.ErrUnfit, "its Kubernetes is v1.36.1+k3s1, the node has v1.34.1+k3s1: no minor version may be left out, upgrade to an image with v1.35 first"},
		{"back a minor version", server, "v1.33.9+k3s1", "", upgrade.ErrDowngrade, "its Kubernetes is v1.33.9+k3s1, the node has v1.34.1+k3s1: what a newer minor version has stored may not be readable"},
		{"no Kubernetes", server, "", "", upgrade.ErrUnfit, "it has no Kubernetes, and this node is a member of a cluster (key k3s, v1.34.1+k3s1): build it with --k3s v1.34"},
		{"k0s", server, "v1.34.1+k0s.0", "", upgrade.ErrUnfit, "it has k0s v1.34.1+k0s.0, this node runs k3s v1.34.1+k3s1 (key k3s)"},
		{"no version", server, "new", "", upgrade.ErrUnfit, `"new" is no version of k3s or k0s`},
		{"no role", "hostname: a\n", "v1.40.1+k0s.0", "", nil, ""},
		{"a role that was refused", "k0s: {enabled: true}\n", "v1.34.1+k0s.0", "", nil, ""},
		{"an agent, a patch, no API", agent, "v1.34.2+k3s1", "", nil, ""},
		{"an agent after its server", agent, "v1.35.1+k3s1", "v1.35.0+k3s1", nil, ""},
		{"an agent long after its server", agent, "v1.35.1+k3s1", "v1.37.0+k3s1", nil, ""},
		{"an agent before its server", agent, "v1.35.1+k3s1", "v1.34.1+k3s1", upgrade.ErrUnfit, "its Kubernetes is v1.35.1+k3s1, that of the API server is v1.34.1+k3s1: servers are upgraded first"},
		{"an agent, no API", agent, "v1.35.1+k3s1", "", upgrade.ErrUnfit, "and whether the servers have v1.35 is not known: k3s has not written /var/lib/rancher/k3s/agent/kubelet.kubeconfig yet"},
		{"an agent, an odd API", agent, "v1.35.1+k3s1", "x", upgrade.ErrUnfit, `the API says that its version is "x"; servers are upgraded first`},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := clustertest.New(t)
			if c.api != "" {
				api.Files("/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "system:node:a")
				api.Answers["/version"] = `{"gitVersion":"` + c.api + `"}`
			}
			put(t, api.Root.Dir, layout.ImageKubernetes[1:], "v1.34.1+k3s1\n")
			n := &Node{Root: api.Root, Log: slog.New(slog.DiscardHandler)}
			merged, problems := config.Decode("a", []byte(c.config))
			if problems.Failed() {
				t.Fatal(problems)
			}
			got := errors.Join(n.against(t.Context(), config.Merge(merged), c.image)...)
			if !errors.Is(got, c.is) || got != nil && !strings.Contains(got.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", got, c.is, c.says)
			}
		})
	}
}
