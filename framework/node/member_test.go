// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/cluster/clustertest"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// TestKubernetesStatus: role, version, Ready or why not, copies and the last restore.
func TestKubernetesStatus(t *testing.T) {
	const node, data = "/api/v1/nodes/edge-1", "/var/lib/rancher/k3s"
	for _, c := range []struct {
		name, image, config string
		prepare             func(*clustertest.API)
		want                []string // lines of the table
		problem             string   // of Problems
	}{
		{"nothing", "", "hostname: a\n", nil, nil, ""},
		{"no role", "v1.34.1+k3s1", "hostname: a\n", nil, []string{"kubernetes  k3s v1.34.1+k3s1, no role is enabled"}, ""},
		{"no Kubernetes", "", "k3s: {enabled: true}\n", nil, []string{"kubernetes  not in this image, role k3s, not Ready: /oem/90.yaml:1:16: k3s.enabled: this image has no Kubernetes: build it with --k3s VERSION"}, "k3s is not ready: "},
		{"not up", "v1.34.1+k3s1", "k3s: {enabled: true}\n", nil, []string{"kubernetes  k3s v1.34.1+k3s1, role k3s, not Ready: k3s has not written "}, "k3s is not ready: k3s has not written"},
		{"Ready", "v1.34.1+k3s1", "k3s: {enabled: true}\n", func(a *clustertest.API) {
			a.Answers[node] = clustertest.Node("this-boot", "v1.34.1+k3s1", "True", "", "")
			a.Put(data+"/kairos/copies/v1.33.1+k3s1/copy.json", []byte(`{"release":"v1.33.1+k3s1","time":"2026-01-01T00:00:00Z","bytes":1048576}`))
			a.Put(data+"/kairos/restored.json", []byte(`{"release":"v1.34.1+k3s1","left":"v1.35.1+k3s1","aside":"/aside","why":"etcd refuses it"}`))
		}, []string{
			"kubernetes  k3s v1.34.1+k3s1, role k3s, Ready", "copies      datastore of v1.33.1+k3s1, from 2026-01-01T00:00:00Z, 1.0 MiB, in ",
			"restored    the datastore is that of v1.34.1+k3s1 again, as it was at 0001-01-01T00:00:00Z: etcd refuses it.",
		}, ""},
		{"of the boot before", "v1.34.1+k3s1", "k3s: {enabled: true}\n", func(a *clustertest.API) {
			a.Answers[node] = clustertest.Node("that-boot", "v1.34.1+k3s1", "True", "", "")
		}, []string{"kubernetes  k3s v1.34.1+k3s1, role k3s, not Ready: the kubelet of node edge-1 has not reported in this boot"}, "k3s is not ready: the kubelet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := clustertest.New(t)
			if c.image != "" {
				a.Put(layout.ImageKubernetes, []byte(c.image+"\n"))
			}
			a.Put("/oem/90.yaml", []byte(c.config))
			a.Put("/proc/sys/kernel/random/boot_id", []byte("this-boot\n"))
			if c.prepare != nil {
				a.Files(data+"/agent/kubelet.kubeconfig", "system:node:edge-1")
				c.prepare(a)
			}
			n := &Node{Root: a.Root, Log: slog.New(slog.DiscardHandler)}
			s := n.Status(t.Context())
			var table strings.Builder
			if err := s.WriteTable(&table, status.View{}); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(table.String(), want) {
					t.Errorf("%q is missing in\n%s", want, table.String())
				}
			}
			if c.want == nil && s.Kubernetes != nil {
				t.Errorf("got %+v", s.Kubernetes)
			}
			if at := slices.IndexFunc(s.Problems, func(p string) bool { return strings.HasPrefix(p, "k3s ") }); (at >= 0) != (c.problem != "") || at >= 0 && !strings.HasPrefix(s.Problems[at], c.problem) {
				t.Errorf("problems: %s", fmt.Sprint(s.Problems))
			}
		})
	}
}
